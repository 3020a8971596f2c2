//! Spring Boot's `/actuator/threaddump`: `ThreadInfo` as JSON, with the owner of every lock by number.

use necropsy_model::{Arena, Snapshot};
use serde::Deserialize;

use super::listed::{self, RawDump, RawThread, Want, WantKind};
use crate::{Error, Probe, Reader};

/// Name of the reader.
const NAME: &str = "java-actuator";

/// Bytes in which the first thread's first keys stand.
const KEYS_WITHIN: usize = 256;

/// The reader of the actuator's dump.
pub(crate) struct Actuator;

impl Reader for Actuator {
    fn name(&self) -> &'static str {
        NAME
    }

    fn probe(&self, head: &[u8]) -> Probe {
        let start = head.get(..KEYS_WITHIN).unwrap_or(head).trim_ascii_start();
        let threads = memchr::memmem::find(start, b"\"threads\"").is_some();
        let keys =
            memchr::memmem::find(start, b"\"threadName\"").or_else(|| memchr::memmem::find(start, b"\"threadId\""));
        if start.first() == Some(&b'{') && threads && keys.is_some() { Probe::Yes } else { Probe::No }
    }

    fn read<'data>(&self, data: &'data [u8], arena: &'data Arena) -> Result<Vec<Snapshot<'data>>, Error> {
        let file: File = serde_json::from_slice(data).map_err(|error| Error::Unreadable {
            reason: format!("the JSON of the thread dump is damaged: {error}"),
        })?;
        let dump = RawDump { threads: file.threads.into_iter().map(thread).collect(), ..RawDump::default() };
        Ok(vec![listed::snapshot(dump, NAME, arena)?])
    }
}

#[derive(Deserialize)]
struct File {
    threads: Vec<Item>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    #[serde(default)]
    thread_name: String,
    #[serde(default)]
    thread_id: u64,
    #[serde(default)]
    thread_state: String,
    /// -1 for none.
    #[serde(default)]
    lock_owner_id: i64,
    #[serde(default)]
    lock_info: Option<Object>,
    #[serde(default)]
    locked_monitors: Vec<Object>,
    #[serde(default)]
    locked_synchronizers: Vec<Object>,
    #[serde(default)]
    stack_trace: Vec<Element>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    #[serde(default)]
    class_name: String,
    #[serde(default)]
    identity_hash_code: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Element {
    #[serde(default)]
    class_name: String,
    #[serde(default)]
    method_name: String,
    #[serde(default)]
    file_name: Option<String>,
    /// Negative where there is none, -2 for a native method.
    #[serde(default)]
    line_number: i64,
    #[serde(default)]
    native_method: bool,
}

impl Object {
    fn text(&self) -> String {
        format!("{}@{:x}", self.class_name, self.identity_hash_code)
    }
}

impl Element {
    fn text(&self) -> String {
        let place = match (&self.file_name, self.native_method) {
            (_, true) => "Native Method".to_owned(),
            (Some(file), _) if self.line_number > 0 => format!("{file}:{}", self.line_number),
            (Some(file), _) => file.clone(),
            (None, _) => "Unknown Source".to_owned(),
        };
        format!("{}.{}({place})", self.class_name, self.method_name)
    }
}

fn thread(item: Item) -> RawThread {
    let frames: Vec<_> = item.stack_trace.iter().map(Element::text).collect();
    let waits = frames.first().is_some_and(|frame| frame.starts_with("java.lang.Object.wait"));
    let kind = match (item.thread_state.as_str(), waits) {
        ("BLOCKED", _) => WantKind::Lock,
        (_, true) => WantKind::On,
        _ => WantKind::Park,
    };
    let owner = u64::try_from(item.lock_owner_id).ok();
    RawThread {
        number: item.thread_id,
        name: item.thread_name,
        state: item.thread_state,
        frames,
        holds: item.locked_monitors.iter().chain(&item.locked_synchronizers).map(Object::text).collect(),
        wants: item.lock_info.map(|object| Want { kind, object: object.text(), owner }),
        ..RawThread::default()
    }
}

#[cfg(test)]
mod tests {
    use necropsy_model::ThreadId;

    use super::*;

    const JSON: &str = r#"{"threads":[{"threadName":"left","threadId":12,"blockedTime":-1,"lockOwnerId":13,"lockOwnerName":"right","daemon":false,
        "threadState":"BLOCKED","stackTrace":[{"classLoaderName":"app","methodName":"left","fileName":"Main.java","lineNumber":8,"className":"Main","nativeMethod":false}],
        "lockedMonitors":[{"className":"java.lang.Object","identityHashCode":10,"lockedStackDepth":0}],"lockedSynchronizers":[],
        "lockInfo":{"className":"java.lang.Object","identityHashCode":11}},
        {"threadName":"right","threadId":13,"lockOwnerId":-1,"threadState":"RUNNABLE","stackTrace":[],"lockedMonitors":[],"lockedSynchronizers":[]}]}"#;

    #[test]
    fn owners_and_frames_are_read() {
        let arena = Arena::new();
        assert_eq!(Actuator.probe(JSON.as_bytes()), Probe::Yes);
        let dump = Actuator.read(JSON.as_bytes(), &arena).unwrap().remove(0);
        let detail = dump.threads[0].detail.as_ref().unwrap();
        assert_eq!(detail.waits_on.as_ref().unwrap().owner, Some(ThreadId(13)));
        assert_eq!((detail.holds[0].id, dump.threads.len()), (10, 2));
        let frame = dump.frames_of(&dump.threads[0]).next().unwrap();
        assert_eq!((frame.function.as_deref(), frame.location.as_ref().unwrap().line), (Some("Main.left"), Some(8)));
        assert_eq!(Actuator.probe(br#"{"threadDump": {}}"#), Probe::No);
    }
}
