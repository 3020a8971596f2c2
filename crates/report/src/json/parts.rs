//! Input, process, modules, warnings, and the small forms that all parts share.

use std::fmt::Display;

use necropsy_model as model;
use serde::{Serialize, Serializer};

/// An address, or another number that people write in hexadecimal, as a string: JSON numbers lose bits above 2^53.
#[derive(Clone, Copy)]
pub(super) struct Hex(pub u64);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:#x}", self.0))
    }
}

/// Anything that is written as its text.
#[derive(Clone, Copy)]
pub(super) struct Shown<T>(pub T);

impl<T: Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A place in the dump: `line 12`, `offset 0x40` or `the dump`.
pub(super) type Source = Shown<model::Source>;

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Input<'a> {
    /// Path as it was given; - for standard input
    path: &'a str,
    /// Format of the dump
    kind: &'static str,
    /// Size of the dump after decompression, in bytes
    bytes: u64,
    /// Compression that was undone
    compression: Option<&'static str>,
    /// Number of this dump among several in one file, from 0
    index: usize,
    /// Second listing of the same process that was put into this dump; missing when there is none
    #[serde(skip_serializing_if = "Option::is_none")]
    joined: Option<Joined<'a>>,
}

impl<'a> Input<'a> {
    pub(super) fn new(input: &'a crate::Input, snapshot: &'a model::Snapshot<'_>) -> Self {
        let crate::Input { path, bytes, compression, index } = input;
        let joined = snapshot.jvm.as_ref().and_then(|jvm| jvm.joined.as_ref()).map(Joined::new);
        Self { path, kind: snapshot.format, bytes: *bytes, compression: *compression, index: *index, joined }
    }
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Joined<'a> {
    /// Path as it was given
    path: &'a str,
    /// Format of the listing
    kind: &'static str,
    /// Threads that the dump itself does not list
    threads: usize,
    /// Virtual ones among them
    virtual_threads: usize,
    /// Stacks of threads that the dump lists without one
    stacks: usize,
    /// Locks that are proved to be the same objects in both
    objects: usize,
}

impl<'a> Joined<'a> {
    fn new(joined: &'a model::jvm::Joined) -> Self {
        Self {
            path: &joined.path,
            kind: joined.format,
            threads: joined.threads,
            virtual_threads: joined.virtual_threads,
            stacks: joined.stacks,
            objects: joined.objects,
        }
    }
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Process<'a> {
    /// Process id
    pid: Option<u64>,
    /// Process id of the parent
    parent_pid: Option<u64>,
    /// Real user id
    uid: Option<u64>,
    /// Path of the executable
    exe: Option<&'a str>,
    /// Command line as far as the dump kept it
    command_line: Option<&'a str>,
    /// The kernel kept only the first 80 bytes of the command line
    command_line_cut: bool,
    /// Language runtime
    runtime: Option<&'static str>,
    /// Version of the runtime, as printed
    runtime_version: Option<&'a str>,
    /// Machine
    arch: Option<&'static str>,
    /// Operating system
    os: Option<&'a str>,
    /// GNU build id of the executable
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    build_id: Option<Shown<&'a model::BuildId>>,
    /// When the dump was taken, in the dump's own words
    taken_at: Option<&'a str>,
    /// Program that wrote the dump
    writer: Option<&'static str>,
}

impl<'a> Process<'a> {
    pub(super) fn new(process: &'a model::Process<'_>) -> Self {
        Self {
            pid: process.pid,
            parent_pid: process.parent_pid,
            uid: process.uid,
            exe: process.exe.as_deref(),
            command_line: process.command_line.as_deref(),
            command_line_cut: process.command_line_cut,
            runtime: process.runtime.map(model::Runtime::name),
            runtime_version: process.runtime_version.as_deref(),
            arch: process.arch.map(model::Arch::name),
            os: process.os.as_deref(),
            build_id: process.build_id.as_ref().map(Shown),
            taken_at: process.taken_at.as_deref(),
            writer: process.writer.map(model::Writer::name),
        }
    }
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Module<'a> {
    /// Path as the process knew it
    path: &'a str,
    /// The file was unlinked or replaced while the process ran
    deleted: bool,
    /// GNU build id, as the dump itself states it
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    build_id: Option<Shown<&'a model::BuildId>>,
    /// Lowest mapped address
    base: Hex,
    /// Bytes from the lowest to the highest mapped address
    size: u64,
    /// What the loader added to the addresses in the file
    bias: Option<Hex>,
    /// It is the main executable
    executable: bool,
    symbols: Symbols<'a>,
    identity: Option<Identity<'a>>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Symbols<'a> {
    /// How much was found: not-needed, not-found, wrong-build, stripped, exported, names or full
    status: &'static str,
    /// Files used
    from: Option<&'a str>,
    /// How the file was held to be the right one: build-id, in-dump, bytes or path-only
    verified: Option<&'static str>,
    /// Why there is no more
    reason: Option<&'a str>,
    /// What was asked of symbol servers; left out when nothing was
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fetched: Vec<Fetched<'a>>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Fetched<'a> {
    /// Which file: debug file, common debug file, executable, or the name of a section
    what: &'a str,
    /// fetched, cached, or why not: not-cached, negative-entry, not-found, too-large, over-time, over-bytes, interrupted or failed
    outcome: &'static str,
    /// The server that sent it
    server: Option<&'a str>,
    /// Its size
    bytes: Option<u64>,
    /// How long it took
    milliseconds: u64,
    /// Why there is none, in words
    why: Option<&'a str>,
}

impl<'a> Fetched<'a> {
    fn new(fetched: &'a model::Fetched) -> Self {
        Self {
            what: &fetched.what,
            outcome: fetched.outcome,
            server: fetched.server.as_deref(),
            bytes: fetched.bytes,
            milliseconds: fetched.milliseconds,
            why: fetched.why.as_deref(),
        }
    }
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Identity<'a> {
    /// Name it is linked by
    soname: Option<&'a str>,
    /// Libraries it needs, in order
    needed: &'a [String],
    /// Its program interpreter
    interpreter: Option<&'a str>,
    /// Where it looks for libraries
    runpaths: &'a [String],
}

impl<'a> Module<'a> {
    pub(super) fn new(module: &'a model::Module<'_>) -> Self {
        let symbols = &module.symbols;
        Self {
            path: &module.path,
            deleted: module.deleted,
            build_id: module.build_id.as_ref().map(Shown),
            base: Hex(module.base.0),
            size: module.size,
            bias: module.bias.map(|bias| Hex(bias.0)),
            executable: module.is_executable,
            symbols: Symbols {
                status: symbols.status.name(),
                from: symbols.from.as_deref(),
                verified: symbols.verified.map(model::Verified::name),
                reason: symbols.reason.as_deref(),
                fetched: symbols.fetched.iter().map(Fetched::new).collect(),
            },
            identity: module.identity.as_ref().map(|identity| Identity {
                soname: identity.soname.as_deref(),
                needed: &identity.needed,
                interpreter: identity.interpreter.as_deref(),
                runpaths: &identity.runpaths,
            }),
        }
    }
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Warning<'a> {
    /// What could not be read
    text: &'a str,
    /// Where in the dump
    source: Source,
}

impl<'a> Warning<'a> {
    pub(super) fn new(warning: &'a model::Warning<'_>) -> Self {
        Self { text: &warning.text, source: Shown(warning.source) }
    }
}

/// The forms that are written as strings are strings in the schema.
#[cfg(test)]
mod schema {
    use std::borrow::Cow;

    use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

    use super::{Hex, Shown};

    impl JsonSchema for Hex {
        fn schema_name() -> Cow<'static, str> {
            "hex".into()
        }

        fn inline_schema() -> bool {
            true
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({ "type": "string", "pattern": "^(0x[0-9a-f]+|<addr-[0-9]+>)$" })
        }
    }

    impl<T> JsonSchema for Shown<T> {
        fn schema_name() -> Cow<'static, str> {
            "text".into()
        }

        fn inline_schema() -> bool {
            true
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({ "type": "string" })
        }
    }
}
