//! Waits of native threads whose stacks somebody else printed: by the names of functions, and the lock by their arguments.

use necropsy_model::{Activity, Frame, Lock, Runtime, Snapshot, State, Value, Wait, WaitKind};

use super::by_name::Waits;
use super::{Held, LOOKED_AT, by_name, state};

/// Arguments that are the address of what is waited for, in glibc's sources. The futex word of a mutex is its first member;
/// that of a condition variable is not.
fn names(kind: WaitKind) -> &'static [&'static str] {
    match kind {
        WaitKind::Lock => &["mutex", "futex", "futex_word", "lock"],
        WaitKind::ReadLock | WaitKind::WriteLock => &["rwlock"],
        WaitKind::Condition => &["cond"],
        WaitKind::Semaphore => &["sem"],
        WaitKind::Barrier => &["barrier", "bar"],
        _ => &[],
    }
}

/// System calls that wait, without leading underscores and without the suffixes of glibc's variants.
const CALLS: &[(&str, &str, Activity)] = &[
    ("poll", "in poll", Activity::Io),
    ("ppoll", "in poll", Activity::Io),
    ("select", "in select", Activity::Io),
    ("epoll_wait", "in epoll_wait", Activity::Idle),
    ("epoll_pwait", "in epoll_wait", Activity::Idle),
    ("accept", "in accept", Activity::Idle),
    ("accept4", "in accept", Activity::Idle),
    ("read", "in read", Activity::Io),
    ("recv", "in recv", Activity::Io),
    ("recvfrom", "in recv", Activity::Io),
    ("recvmsg", "in recv", Activity::Io),
    ("write", "in write", Activity::Io),
    ("send", "in send", Activity::Io),
    ("connect", "in connect", Activity::Io),
    ("fsync", "in fsync", Activity::Io),
    ("nanosleep", "sleeps", Activity::Sleep),
    ("clock_nanosleep", "sleeps", Activity::Sleep),
    ("sigwait", "waits for a signal", Activity::Idle),
    ("sigtimedwait", "waits for a signal", Activity::Idle),
    ("wait4", "waits for a child process", Activity::Signal),
    ("waitid", "waits for a child process", Activity::Signal),
];

/// Frames among which a system call is looked for: its wrapper, and the wrapper's inlined parts.
const CALL_DEPTH: usize = 3;

/// Completes threads of native processes that have no state.
pub(crate) fn find(snapshot: &mut Snapshot<'_>) {
    if snapshot.process.runtime != Some(Runtime::Native) {
        return;
    }
    for index in 0..snapshot.threads.len() {
        let Some(thread) = snapshot.threads.get(index).filter(|thread| thread.state.is_none()) else { continue };
        let source = thread.source;
        let frames: Vec<&Frame<'_>> = snapshot.frames_of(thread).take(LOOKED_AT).collect();
        let kind = frames.iter().find_map(|frame| by_name::waits(frame.function.as_deref()?));
        let (told, wait) = match kind {
            Some(Waits { kind, .. }) => {
                let lock = lock(&frames, names(kind));
                (state(kind, false, Held::NotTold), Some(Wait { kind, lock, owner: None, limited: false, source }))
            }
            None => match frames.iter().take(CALL_DEPTH).find_map(|frame| call(frame.function.as_deref()?)) {
                Some(told) => (told, None),
                None => continue,
            },
        };
        let told = snapshot.intern_state(told);
        if let Some(thread) = snapshot.threads.get_mut(index) {
            thread.state = told;
            thread.detail_mut().waits_on = wait;
        }
    }
}

/// The lock that the functions were given; the outermost of them has it by its own type, and gdb names the variable there.
fn lock<'data>(frames: &[&Frame<'data>], names: &[&str]) -> Option<Lock<'data>> {
    let arguments = frames.iter().flat_map(|frame| &frame.variables);
    let mut found: Vec<Lock<'data>> = arguments
        .filter(|variable| variable.name.as_deref().is_some_and(|name| names.contains(&name)))
        .filter_map(|variable| match &variable.value {
            Value::Pointer { address, symbol, .. } if *address != 0 => {
                Some(Lock { id: *address, name: symbol.clone() })
            }
            _ => None,
        })
        .collect();
    let first = found.first()?.id;
    found.retain(|lock| lock.id == first);
    found.iter().find(|lock| lock.name.is_some()).or(found.first()).cloned()
}

/// The state of a thread in a system call, by the name of its wrapper: `__GI___poll`, `__libc_read`, `poll@plt`.
fn call(function: &str) -> Option<State<'static>> {
    let name = function.split('@').next().unwrap_or(function).trim_start_matches('_');
    let name = ["GI_", "libc_"].iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
    let name = name.trim_start_matches('_').trim_end_matches("64");
    let &(_, text, activity) = CALLS.iter().find(|(known, ..)| *known == name)?;
    Some(State { text: text.into(), activity })
}

#[cfg(test)]
mod tests {
    use necropsy_model::{Source, Stack, Thread, ThreadId, Variable, VariableKind};

    use super::*;

    fn printed(frames: Vec<Frame<'static>>) -> Snapshot<'static> {
        let mut snapshot = Snapshot::default();
        snapshot.process.runtime = Some(Runtime::Native);
        let mut stack = Stack::default();
        for frame in frames {
            stack.frames.extend(snapshot.add_frame(frame));
        }
        let mut thread = Thread::new(ThreadId(1), Source::line(1));
        thread.stack = snapshot.add_stack(stack);
        snapshot.threads.push(thread);
        find(&mut snapshot);
        snapshot
    }

    fn with(function: &'static str, name: &'static str, address: u64, symbol: Option<&'static str>) -> Frame<'static> {
        let value = Value::Pointer { address, symbol: symbol.map(Into::into), target: None };
        let variable = Variable { name: Some(name.into()), type_name: None, kind: VariableKind::Argument, value };
        Frame { variables: vec![variable], ..Frame::printed(function, None) }
    }

    #[test]
    fn the_lock_is_what_the_functions_were_given() {
        let frames = vec![
            with("futex_wait", "futex_word", 0x5600, None),
            with("___pthread_mutex_lock", "mutex", 0x5600, Some("ledger")),
            Frame::printed("post", None),
        ];
        let snapshot = printed(frames);
        let wait = snapshot.threads[0].detail.as_ref().unwrap().waits_on.as_ref().unwrap();
        assert_eq!(wait.lock, Some(Lock { id: 0x5600, name: Some("ledger".into()) }));
        assert_eq!(snapshot.activity(&snapshot.threads[0]), Activity::Lock);
    }

    #[test]
    fn a_condition_variable_is_not_its_futex_word() {
        let frames = vec![
            with("__futex_abstimed_wait_common64", "futex_word", 0x5628, None),
            with("___pthread_cond_wait", "cond", 0x5600, Some("filled")),
        ];
        let snapshot = printed(frames);
        let wait = snapshot.threads[0].detail.as_ref().unwrap().waits_on.as_ref().unwrap();
        assert_eq!((wait.kind, wait.lock.as_ref().map(|lock| lock.id)), (WaitKind::Condition, Some(0x5600)));
    }

    #[test]
    fn system_calls_are_known_under_all_their_names() {
        for name in ["poll", "__GI___poll", "__poll", "poll@plt"] {
            assert!(call(name).is_some(), "{name}");
        }
        assert!(call("pollster").is_none());
        let snapshot = printed(vec![Frame::printed("compute", None)]);
        assert!(snapshot.threads[0].state.is_none());
    }
}
