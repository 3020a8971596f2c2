//! What `jhsdb jstack` prints otherwise than the virtual machine itself: it reads a live process or a core from outside.
//! `sun.jvm.hotspot.tools.{StackTrace,PStack}` of the JDK's serviceability agent write it.
//!
//! ```text
//!  - Till.sleep(long) @bci=1, line=10 (Interpreted frame)              jhsdb jstack
//! ----------------- 31835 -----------------                            jhsdb jstack --mixed
//! 0x00007f00  epoll_wait + 0x56
//! 0x00007f00  * Till.main(java.lang.String[]) bci:8 line:7 (Interpreted frame)
//! ```

use necropsy_model::{Activity, Avma, CodeAddress, Frame, FrameKind, Location, Missing, Symbol};

use super::frame::is_jdk;

/// Functions of the virtual machine and of the C library in which each of its threads begins or waits: nobody's code to look at.
const MACHINERY: [&str; 14] = [
    "JavaCalls::",
    "JavaThread::",
    "Thread::",
    "AttachListener",
    "PosixAttachListener::",
    "LinuxAttachListener::",
    "attach_listener",
    "thread_entry",
    "thread_native_entry",
    "start_thread",
    "clone",
    "pthread_",
    "futex_",
    "new_sem_wait",
];

/// System calls and their wrappers that wait for input or output.
const IO: [&str; 15] = [
    "epoll_wait",
    "accept",
    "accept4",
    "read",
    "recv",
    "recvfrom",
    "recvmsg",
    "poll",
    "ppoll",
    "select",
    "connect",
    "wait4",
    "waitid",
    "write",
    "send",
];

/// `Attaching to process ID 31774, please wait...`, `Attaching to core core.7 from executable java, please wait...`: begins a dump.
pub(super) fn begins(line: &[u8]) -> bool {
    line.strip_prefix(b"Attaching to ")
        .is_some_and(|rest| rest.starts_with(b"process ID ") || rest.starts_with(b"core "))
}

/// The number of the process in such a line; none of a core.
pub(super) fn pid(line: &[u8]) -> Option<u64> {
    super::scan::number_of(line.strip_prefix(b"Attaching to process ID ")?)
}

/// `----------------- 31835 -----------------`: the kernel's number of the thread that follows.
pub(super) fn separator(line: &[u8]) -> Option<u64> {
    let digits = line.strip_prefix(b"----------------- ")?.strip_suffix(b" -----------------")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The text behind `- ` is a frame and no note of a lock.
pub(super) fn is_java_frame(text: &[u8]) -> bool {
    memchr::memmem::find(text, b" @bci=").is_some() && text.ends_with(b")")
}

/// A line of the mixed mode: an address, a tab and what is there.
pub(super) fn is_mixed_frame(line: &[u8]) -> bool {
    let hexadecimal =
        line.strip_prefix(b"0x").map(|rest| rest.iter().take_while(|byte| byte.is_ascii_hexdigit()).count());
    hexadecimal.is_some_and(|digits| digits >= 8 && line.get(digits + 2) == Some(&b'\t'))
}

/// The frame of a line that one of the two above accepts.
pub(super) fn parse(text: &[u8]) -> Option<Frame<'_>> {
    if !is_mixed_frame(text) {
        return java(text);
    }
    let tab = memchr::memchr(b'\t', text)?;
    let address = std::str::from_utf8(text.get(2..tab)?).ok().and_then(|digits| u64::from_str_radix(digits, 16).ok());
    let what = text.get(tab + 1..)?.trim_ascii();
    let mut frame = match what.strip_prefix(b"* ") {
        Some(method) => java(method)?,
        None => native(what),
    };
    frame.address = address.map(|address| CodeAddress::Return(Avma(address)));
    Some(frame)
}

/// `Till.sleep(long) @bci=1, line=10 (Interpreted frame)`, or with `bci:1 line:10` in the mixed mode. The parameters are left
/// out, so that the method is called as in other dumps.
fn java(text: &[u8]) -> Option<Frame<'_>> {
    let open = memchr::memchr(b'(', text)?;
    let function = String::from_utf8_lossy(text.get(..open)?.trim_ascii());
    let rest = text.get(open..)?;
    let line = [&b"line="[..], b"line:"].iter().find_map(|mark| {
        let at = memchr::memmem::find(rest, mark)?;
        super::scan::number_of(rest.get(at + mark.len()..)?)
    });
    if function.is_empty() {
        return None;
    }
    let jdk = is_jdk(&function);
    // The agent prints no file, and a line alone says as much as with the file that the class is named after.
    let file = file_of(&function);
    let location = line.and_then(|line| Some(Location::new(file?, u32::try_from(line).ok())));
    let mut frame = Frame::printed(function, location);
    frame.kind = match () {
        () if jdk => FrameKind::Runtime,
        () if memchr::memmem::find(rest, b"(Compiled frame").is_some() => FrameKind::Compiled,
        () => FrameKind::Normal,
    };
    Some(frame)
}

/// `shop.Cart$Line.add` stands in `Cart.java`, unless its class is a secondary one of another file; nothing for a class that the
/// virtual machine made.
fn file_of(function: &str) -> Option<String> {
    let (class, _) = function.rsplit_once('.')?;
    if class.contains("$$") || class.contains('+') {
        return None;
    }
    let outer = class.rsplit('.').next()?.split('$').next()?;
    (!outer.is_empty()).then(|| format!("{outer}.java"))
}

/// `epoll_wait + 0x56`, `<StubRoutines>`, `????????`.
fn native(what: &[u8]) -> Frame<'_> {
    if what.iter().all(|&byte| byte == b'?') {
        let mut frame = Frame::at(None, necropsy_model::Trust::Printed);
        frame.kind = FrameKind::Native;
        frame.symbol = Symbol::Missing(Missing::NotPrinted);
        return frame;
    }
    let end = memchr::memmem::rfind(what, b" + 0x").unwrap_or(what.len());
    let name = String::from_utf8_lossy(what.get(..end).unwrap_or(what));
    let bare = name.trim_start_matches("__GI_").trim_start_matches('_');
    let machinery = name.starts_with('<')
        || IO.contains(&bare.trim_start_matches("libc_"))
        || MACHINERY.iter().any(|start| bare.starts_with(start));
    let mut frame = Frame::printed(name, None);
    frame.kind = if machinery { FrameKind::Runtime } else { FrameKind::Native };
    frame
}

/// The name is one of native code: Java methods have a class in front, and compilers of C add only these parts behind a dot.
pub(super) fn is_native(function: &str) -> bool {
    const CLONES: [&str; 4] = [".constprop.", ".part.", ".isra.", ".cold"];
    let clone = || CLONES.iter().any(|part| function.contains(part));
    function.starts_with('<') || function.contains("::") || !function.contains('.') || clone()
}

/// What a thread does whose innermost function is this one of the system; nothing when that does not tell.
pub(super) fn activity(function: &str) -> Option<Activity> {
    let bare = function
        .trim_start_matches("__GI_")
        .trim_start_matches('_')
        .trim_start_matches("libc_")
        .trim_start_matches('_');
    match () {
        () if IO.contains(&bare) => Some(Activity::Io),
        () if ["futex_", "pthread_cond_", "new_sem_wait", "pthread_mutex_lock", "lll_lock_wait"]
            .iter()
            .any(|start| bare.trim_start_matches("GI_").trim_start_matches('_').starts_with(start)) =>
        {
            Some(Activity::Idle)
        }
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Option<String>, Option<String>, FrameKind) {
        let frame = parse(text.as_bytes()).unwrap();
        let place = frame.location.map(|place| format!("{}:{}", place.file, place.line.unwrap_or(0)));
        (frame.function.map(std::borrow::Cow::into_owned), place, frame.kind)
    }

    #[test]
    fn frames_of_both_modes() {
        for (text, function, place, kind) in [
            (
                "shop.Till$Drawer.sleep(long, int[]) @bci=1, line=10 (Interpreted frame)",
                Some("shop.Till$Drawer.sleep"),
                Some("Till.java:10"),
                FrameKind::Normal,
            ),
            (
                "java.lang.Thread.sleep(long) @bci=0 (Interpreted frame)",
                Some("java.lang.Thread.sleep"),
                None,
                FrameKind::Runtime,
            ),
            (
                "0x00007fb323940438\t* Till$$Lambda+0x01.run() bci:4 line:3 (Interpreted frame)",
                Some("Till$$Lambda+0x01.run"),
                None,
                FrameKind::Normal,
            ),
            (
                "Till.add(int) @bci=3, line=8 (Compiled frame; information may be imprecise)",
                Some("Till.add"),
                Some("Till.java:8"),
                FrameKind::Compiled,
            ),
            ("0x00007fb33b1b2f36\tepoll_wait + 0x56", Some("epoll_wait"), None, FrameKind::Runtime),
            ("0x00007fb33b1b2f36\tJava_Till_weigh + 0x1c", Some("Java_Till_weigh"), None, FrameKind::Native),
            (
                "0x00007fb33a223840\tJavaCalls::call_helper(JavaValue*, methodHandle const&) + 0x2b0",
                Some("JavaCalls::call_helper(JavaValue*, methodHandle const&)"),
                None,
                FrameKind::Runtime,
            ),
            ("0x00007fb33b1b2f36\t????????", None, None, FrameKind::Native),
        ] {
            assert_eq!(read(text), (function.map(str::to_owned), place.map(str::to_owned), kind), "{text}");
        }
    }

    #[test]
    fn lines_between_stacks() {
        assert_eq!(separator(b"----------------- 31835 -----------------"), Some(31835));
        assert_eq!(separator(b"-----------------"), None);
        let live = b"Attaching to process ID 7, please wait...";
        assert!(begins(live) && pid(live) == Some(7));
        let core = b"Attaching to core core.7 from executable java, please wait...";
        assert!(begins(core) && pid(core).is_none() && !begins(b"Attaching to the debugger"));
        assert!(!is_java_frame(b"locked <0x10> (a Till)") && !is_mixed_frame(b"0x10\tx"));
    }

    #[test]
    fn what_a_function_of_the_system_waits_for() {
        for (name, wanted) in [
            ("__GI_accept", Some(Activity::Io)),
            ("__libc_read", Some(Activity::Io)),
            ("__futex_abstimed_wait_common", Some(Activity::Idle)),
            ("__GI___pthread_cond_wait", Some(Activity::Idle)),
            ("Java_Till_weigh", None),
        ] {
            assert_eq!(activity(name), wanted, "{name}");
            assert!(is_native(name));
        }
        assert!(is_native("new_sem_wait_slow64.constprop.0") && !is_native("Till.<init>"));
    }
}
