//! A line `at Class.method(File.java:12)`, in the forms of HotSpot and of `StackTraceElement.toString`.

use necropsy_model::{Frame, FrameKind, Location};

/// Packages of the JDK: seldom to blame, and folded where a stack is shown short.
const JDK: [&str; 8] = ["java.", "javax.", "jdk.", "sun.", "com.sun.", "java/", "sun/", "jrockit/"];

/// The method is one of the JDK.
pub(super) fn is_jdk(function: &str) -> bool {
    JDK.iter().any(|package| function.starts_with(package))
}

/// The frame that the text behind `at ` prints.
pub(super) fn parse(text: &[u8]) -> Option<Frame<'_>> {
    let open = memchr::memrchr(b'(', text)?;
    let name = String::from_utf8_lossy(text.get(..open)?.trim_ascii());
    let inside = text.get(open + 1..)?;
    let inside = memchr::memchr(b')', inside).and_then(|end| inside.get(..end)).unwrap_or(inside);
    let cut = module_end(&name);
    let function = match name {
        std::borrow::Cow::Borrowed(name) => std::borrow::Cow::Borrowed(name.get(cut..).unwrap_or(name)),
        std::borrow::Cow::Owned(name) => name.get(cut..).unwrap_or(&name).to_owned().into(),
    };
    if function.is_empty() {
        return None;
    }
    // HotSpot puts module and version here: `(java.base@17.0.15/Thread.java:840)`.
    let place = memchr::memrchr(b'/', inside).and_then(|at| inside.get(at + 1..)).unwrap_or(inside);
    let jdk = is_jdk(&function);
    let native = place == b"Native Method";
    let mut frame = Frame::printed(function, location(place));
    frame.kind = match (jdk, native) {
        (true, _) => FrameKind::Runtime,
        (false, true) => FrameKind::Native,
        (false, false) => FrameKind::Normal,
    };
    Some(frame)
}

/// File and line; none for `Native Method`, `Unknown Source`, `Compiled Code`.
fn location(place: &[u8]) -> Option<Location<'_>> {
    let (file, line) = match memchr::memrchr(b':', place) {
        Some(at) => {
            let digits = std::str::from_utf8(place.get(at + 1..)?).ok()?;
            (place.get(..at)?, digits.trim().parse().ok())
        }
        None if memchr::memchr(b'.', place).is_some() => (place, None),
        None => return None,
    };
    Some(Location::new(String::from_utf8_lossy(file), line))
}

/// Where the name begins behind a class loader and module: `app//`, `java.base@25/`. The number of a hidden class
/// (`Scen$$Lambda/0x0000.run`) is no module.
fn module_end(name: &str) -> usize {
    let Some(slash) = name.find('/') else { return 0 };
    let before = name.get(..slash).unwrap_or_default();
    let known = matches!(before, "app" | "platform" | "boot") || before.contains('@');
    let jdk = ["java.", "jdk."].iter().any(|start| before.starts_with(start)) && !before.contains('$');
    if !known && !jdk {
        return 0;
    }
    // A loader's name may be followed by a module's.
    let rest = name.get(slash + 1..).unwrap_or_default();
    let inner = match rest.strip_prefix('/') {
        Some(_) => 1,
        None if known && !before.contains('@') => rest.find('/').map_or(0, |at| at + 1),
        None => 0,
    };
    slash + 1 + inner
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (String, Option<String>, FrameKind) {
        let frame = parse(text.as_bytes()).unwrap();
        let location = frame.location.map(|place| format!("{}:{}", place.file, place.line.unwrap_or(0)));
        (frame.function.unwrap().into_owned(), location, frame.kind)
    }

    #[test]
    fn frames_of_every_form() {
        for (text, function, location, kind) in [
            (
                "java.lang.Thread.run(java.base@17.0.15/Thread.java:840)",
                "java.lang.Thread.run",
                Some("Thread.java:840"),
                FrameKind::Runtime,
            ),
            (
                "java.base/java.lang.Thread.run(Thread.java:840)",
                "java.lang.Thread.run",
                Some("Thread.java:840"),
                FrameKind::Runtime,
            ),
            ("java.base@17/java.lang.Object.wait(Native Method)", "java.lang.Object.wait", None, FrameKind::Runtime),
            ("app//shop.Cart.add(Cart.java)", "shop.Cart.add", Some("Cart.java:0"), FrameKind::Normal),
            (
                "Scen$$Lambda/0x000000005f040210.run(Unknown Source)",
                "Scen$$Lambda/0x000000005f040210.run",
                None,
                FrameKind::Normal,
            ),
            ("shop.Native.poll(Native Method)", "shop.Native.poll", None, FrameKind::Native),
            ("java.lang.Object.wait(J)V(Native Method)", "java.lang.Object.wait(J)V", None, FrameKind::Runtime),
        ] {
            assert_eq!(read(text), (function.to_owned(), location.map(str::to_owned), kind), "{text}");
        }
        assert!(parse(b"nothing").is_none() && parse(b"(").is_none());
    }
}
