//! `Thread.dump_to_file -format=json`. Numbers are strings up to JDK 25.

use std::borrow::Cow;

use serde::Deserialize;

use crate::Error;
use crate::java_threads::listed::{RawDump, RawThread, Want, WantKind};

/// Bytes in which the first key stands.
const KEY_WITHIN: usize = 64;

pub(super) fn is_json(head: &[u8]) -> bool {
    let start = head.get(..KEY_WITHIN).unwrap_or(head);
    let trimmed = start.trim_ascii_start();
    trimmed.first() == Some(&b'{') && memchr::memmem::find(trimmed, b"\"threadDump\"").is_some()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File<'d> {
    #[serde(borrow)]
    thread_dump: Dump<'d>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dump<'d> {
    #[serde(default)]
    process_id: Number,
    #[serde(default)]
    time: String,
    #[serde(default)]
    runtime_version: String,
    #[serde(borrow, default)]
    thread_containers: Vec<Container<'d>>,
}

#[derive(Deserialize)]
struct Container<'d> {
    #[serde(borrow, default)]
    threads: Vec<Item<'d>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item<'d> {
    #[serde(default)]
    tid: Number,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    r#virtual: bool,
    #[serde(default)]
    state: Option<String>,
    #[serde(borrow, default)]
    stack: Vec<Cow<'d, str>>,
    #[serde(default)]
    blocked_on: Option<String>,
    #[serde(default)]
    waiting_on: Option<String>,
    #[serde(default)]
    park_blocker: Option<Blocker>,
    #[serde(default)]
    monitors_owned: Vec<Owned>,
    #[serde(default)]
    carrier: Number,
}

#[derive(Deserialize)]
struct Blocker {
    #[serde(default)]
    object: Option<String>,
    #[serde(default)]
    owner: Number,
}

#[derive(Deserialize)]
struct Owned {
    /// An eliminated lock is null.
    #[serde(default)]
    locks: Vec<Option<String>>,
}

/// A number, or its digits in a string.
#[derive(Deserialize, Default)]
#[serde(untagged)]
enum Number {
    Digits(u64),
    Text(String),
    #[default]
    None,
}

impl Number {
    fn get(&self) -> Option<u64> {
        match self {
            Self::Digits(number) => Some(*number),
            Self::Text(text) => text.parse().ok(),
            Self::None => None,
        }
    }
}

pub(super) fn parse(data: &[u8]) -> Result<RawDump, Error> {
    let file: File<'_> = serde_json::from_slice(data)
        .map_err(|error| Error::Unreadable { reason: format!("the JSON of the thread dump is damaged: {error}") })?;
    let dump = file.thread_dump;
    let items = dump.thread_containers.into_iter().flat_map(|container| container.threads);
    Ok(RawDump {
        pid: dump.process_id.get(),
        time: dump.time,
        version: dump.runtime_version,
        threads: items.map(thread).collect(),
        cut: false,
    })
}

fn thread(item: Item<'_>) -> RawThread {
    let want = |kind, owner| move |object| Want { kind, object, owner };
    let blocked = item.blocked_on.map(want(WantKind::Lock, None));
    let waits = item.waiting_on.map(want(WantKind::On, None));
    let parked = item.park_blocker.and_then(|blocker| blocker.object.map(want(WantKind::Park, blocker.owner.get())));
    RawThread {
        number: item.tid.get().unwrap_or_default(),
        name: item.name.unwrap_or_default(),
        is_virtual: item.r#virtual,
        state: item.state.unwrap_or_default(),
        frames: item.stack.into_iter().map(Cow::into_owned).collect(),
        holds: item.monitors_owned.into_iter().flat_map(|owned| owned.locks).flatten().collect(),
        wants: blocked.or(waits).or(parked),
        carrier: item.carrier.get(),
        line: None,
    }
}
