//! What a Java thread does, from its state and from where it stands.

use necropsy_model::{Activity, WaitKind};

/// Native methods in which a thread counts as RUNNABLE and waits for input or output. The JVM does not know that they block.
const IO: [&str; 28] = [
    "socketRead0",
    "socketAccept",
    "accept0",
    "accept",
    "epollWait",
    "wait",
    "wait0",
    "poll",
    "poll0",
    "kevent",
    "kqueue",
    "readBytes",
    "read0",
    "readv0",
    "write0",
    "writev0",
    "writeBytes",
    "writeBytes0",
    "readBytes0",
    "socketWrite0",
    "socketConnect",
    "connect0",
    "recv",
    "receive0",
    "peekData",
    "waitForConnect",
    "lookupAllHostAddr",
    "waitForProcessExit0",
];

/// Packages whose native methods the list above means, and libraries with their own.
const IO_PACKAGES: [&str; 9] = [
    "java.net.",
    "java.io.",
    "sun.nio.",
    "sun.security.pkcs11.",
    "java.lang.Process",
    "java.lang.UNIXProcess",
    "io.netty.channel.",
    "org.apache.tomcat.jni.",
    "sun.net.",
];

/// Methods in which a healthy thread waits for work that may never come.
const IDLE: [&str; 16] = [
    "java.lang.ref.Reference.waitForReferencePendingList",
    "java.lang.ref.Reference$ReferenceHandler.run",
    "java.lang.ref.Finalizer$FinalizerThread.run",
    "java.lang.ref.ReferenceQueue.remove",
    "jdk.internal.ref.CleanerImpl.run",
    "java.util.concurrent.ThreadPoolExecutor.getTask",
    "java.util.concurrent.ForkJoinPool.awaitWork",
    "java.util.concurrent.ForkJoinPool.scan",
    "java.util.TimerThread.mainLoop",
    "java.util.concurrent.ScheduledThreadPoolExecutor$DelayedWorkQueue.take",
    "sun.misc.Signal$1.run",
    "jdk.internal.misc.Signal$1.run",
    "java.lang.ProcessReaper.run",
    "org.apache.tomcat.util.threads.TaskQueue.poll",
    "org.apache.tomcat.util.threads.TaskQueue.take",
    "sun.awt.AWTAutoShutdown.run",
];

/// What a thread does: by the JVM's state (`BLOCKED`, …), the words of the machine thread, its wait and its frames,
/// innermost first.
pub(super) fn activity(state: &str, phase: &str, wait: Option<WaitKind>, frames: &[&str]) -> Activity {
    let idle = frames.iter().any(|frame| IDLE.contains(frame));
    let word = state.split([' ', '(']).next().unwrap_or_default();
    match word {
        "BLOCKED" => Activity::Lock,
        "WAITING" | "TIMED_WAITING" if idle => Activity::Idle,
        "TIMED_WAITING" if state.contains("sleeping") => Activity::Sleep,
        "WAITING" | "TIMED_WAITING" => match wait {
            Some(WaitKind::Lock | WaitKind::ReadLock | WaitKind::WriteLock) => Activity::Lock,
            _ if frames.first().is_some_and(|frame| frame.starts_with("java.lang.Thread.sleep")) => Activity::Sleep,
            _ => Activity::Signal,
        },
        "RUNNABLE" if wait == Some(WaitKind::ClassInit) => Activity::Lock,
        "RUNNABLE" if frames.is_empty() => Activity::Idle,
        "RUNNABLE" => match frames.first().copied().unwrap_or_default() {
            // RUNNABLE and yet in Object.wait(): another thread initialises the class that is needed here.
            _ if phase == "in Object.wait()" => Activity::Lock,
            _ if idle => Activity::Idle,
            first if is_io(first) => Activity::Io,
            _ => Activity::Running,
        },
        _ => by_phase(phase, frames),
    }
}

/// Before JDK 6 there is no line of the state, and threads of the VM never have one.
fn by_phase(phase: &str, frames: &[&str]) -> Activity {
    let idle = frames.iter().any(|frame| IDLE.contains(frame));
    match phase {
        _ if idle => Activity::Idle,
        "waiting for monitor entry" => Activity::Lock,
        "sleeping" => Activity::Sleep,
        "runnable" | "waiting on condition" if frames.is_empty() => Activity::Idle,
        "waiting on condition" if frames.first().is_some_and(|frame| frame.starts_with("java.lang.Thread.sleep")) => {
            Activity::Sleep
        }
        "in Object.wait()" | "waiting on condition" => Activity::Signal,
        "runnable" if frames.first().is_some_and(|first| is_io(first)) => Activity::Io,
        "runnable" => Activity::Running,
        _ => Activity::Unknown,
    }
}

fn is_io(function: &str) -> bool {
    let method = function.rsplit('.').next().unwrap_or_default();
    IO.contains(&method) && IO_PACKAGES.iter().any(|package| function.starts_with(package))
}

/// What a parked thread waits for, by the class of the synchronizer and by its frames.
pub(super) fn parked(class: &str, frames: &[&str]) -> WaitKind {
    let passes = |part: &str| frames.iter().any(|frame| frame.contains(part));
    match class {
        _ if class.contains("ConditionObject") || class.contains("ConditionNode") => WaitKind::Condition,
        _ if class.contains("ReentrantReadWriteLock") && passes("ReadLock.lock") => WaitKind::ReadLock,
        _ if class.contains("ReentrantReadWriteLock") => WaitKind::WriteLock,
        _ if class.contains("ReentrantLock$") => WaitKind::Lock,
        _ if class.contains("Semaphore$") => WaitKind::Semaphore,
        _ if class.contains("CountDownLatch$") || class.contains("Phaser") => WaitKind::Barrier,
        _ if class.contains("FutureTask") || class.contains("CompletableFuture") => WaitKind::Join,
        _ => WaitKind::Park,
    }
}

/// The lock that a thread without a state waits for, by its frames, innermost first: parked below the method that takes it.
pub(super) fn wants_lock(frames: &[&str]) -> Option<WaitKind> {
    /// Behind `Unsafe.park` and `LockSupport.park` stand a few of `AbstractQueuedSynchronizer` and `ReentrantLock$Sync`.
    const DEPTH: usize = 10;
    const METHODS: [(&str, WaitKind); 3] = [
        ("java.util.concurrent.locks.ReentrantLock.lock", WaitKind::Lock),
        ("java.util.concurrent.locks.ReentrantReadWriteLock$ReadLock.lock", WaitKind::ReadLock),
        ("java.util.concurrent.locks.ReentrantReadWriteLock$WriteLock.lock", WaitKind::WriteLock),
    ];
    frames.first().filter(|frame| frame.rsplit('.').next() == Some("park"))?;
    let kind = |frame: &&str| METHODS.iter().find(|(method, _)| method == frame).map(|&(_, kind)| kind);
    frames.iter().take(DEPTH).find_map(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_parked_below_a_lock_wants_it() {
        let lock = "java.util.concurrent.locks.ReentrantLock.lock";
        let parked =
            ["jdk.internal.misc.Unsafe.park", "java.util.concurrent.locks.LockSupport.park", lock, "shop.Cart.add"];
        assert_eq!(wants_lock(&parked), Some(WaitKind::Lock));
        assert_eq!(wants_lock(&["shop.Cart.add", lock]), None, "it holds it");
        assert_eq!(wants_lock(&["jdk.internal.misc.Unsafe.park", "java.util.concurrent.FutureTask.get"]), None);
    }

    #[test]
    fn runnable_is_not_always_running() {
        for (frame, phase, want) in [
            ("java.net.SocketInputStream.socketRead0", "runnable", Activity::Io),
            ("sun.nio.ch.EPoll.wait", "runnable", Activity::Io),
            ("sun.nio.ch.EPollArrayWrapper.epollWait", "runnable", Activity::Io),
            ("shop.Cart.poll", "runnable", Activity::Running),
            ("shop.Cart.<clinit>", "in Object.wait()", Activity::Lock),
            ("java.lang.ref.Reference.waitForReferencePendingList", "waiting on condition", Activity::Idle),
        ] {
            assert_eq!(activity("RUNNABLE", phase, None, &[frame]), want, "{frame}");
        }
        assert_eq!(activity("BLOCKED (on object monitor)", "", None, &[]), Activity::Lock);
        assert_eq!(activity("TIMED_WAITING (sleeping)", "", None, &["x"]), Activity::Sleep);
        let pool = ["jdk.internal.misc.Unsafe.park", "java.util.concurrent.ThreadPoolExecutor.getTask"];
        assert_eq!(activity("WAITING (parking)", "", Some(WaitKind::Condition), &pool), Activity::Idle);
        assert_eq!(activity("WAITING (parking)", "", Some(WaitKind::Lock), &["x"]), Activity::Lock);
    }

    #[test]
    fn synchronizers_by_class() {
        let locks = "java.util.concurrent.locks.";
        for (class, frame, want) in [
            ("ReentrantLock$NonfairSync", "", WaitKind::Lock),
            (
                "ReentrantReadWriteLock$FairSync",
                "java.util.concurrent.locks.ReentrantReadWriteLock$ReadLock.lock",
                WaitKind::ReadLock,
            ),
            (
                "ReentrantReadWriteLock$FairSync",
                "java.util.concurrent.locks.ReentrantReadWriteLock$WriteLock.lock",
                WaitKind::WriteLock,
            ),
            ("AbstractQueuedSynchronizer$ConditionObject", "", WaitKind::Condition),
            ("X", "", WaitKind::Park),
        ] {
            assert_eq!(parked(&format!("{locks}{class}"), &[frame]), want, "{class}");
        }
    }
}
