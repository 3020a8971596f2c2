//! A line of `Native frames:` or `Java frames:`, as `frame::print_on_error` of HotSpot writes it.
//!
//! ```text
//! C  [libx.so+0x11c8]  func+0xf  (file.c:12)
//! V  [libjvm.so+0xa23840]  JavaCalls::call_helper(JavaValue*, …)+0x2b0
//! J 13% c2 pkg.Cls.m(Sig)R module@ver (82 bytes) @ 0xpc [0xbegin+0xoff]
//! j  pkg.Cls.m(Sig)R+bci module@ver
//! v  ~StubRoutines::call_stub 0x00007fba6b938fa6
//! ```
//!
//! C++ names and module names hold blanks, commas and brackets, so that a line is read from both ends.

use std::borrow::Cow;

use necropsy_model::hs_err::{HsFrame, HsFrameKind, JavaMethod};

use super::words::{Line, leading_decimal, leading_hex};

/// The frame of a line; `None` when it is none.
pub(super) fn parse(line: Line<'_>) -> Option<HsFrame<'_>> {
    let text = line.text.trim_end();
    let (letter, rest) = (text.chars().next()?, text.get(1..)?);
    if letter == '0' {
        let pc = text.strip_prefix("0x").and_then(leading_hex)?;
        return Some(HsFrame { pc: Some(pc), ..HsFrame::new(HsFrameKind::Unknown, text, line.source) });
    }
    let kind = match letter {
        'C' => HsFrameKind::Native,
        'V' => HsFrameKind::Vm,
        'v' => HsFrameKind::Stub,
        'J' => HsFrameKind::Compiled,
        'A' => HsFrameKind::AheadOfTime,
        'j' => HsFrameKind::Interpreted,
        _ => return None,
    };
    let body = rest.strip_prefix(' ')?.trim_start();
    let mut frame = HsFrame::new(kind, text, line.source);
    match kind {
        HsFrameKind::Native | HsFrameKind::Vm => native(&mut frame, body),
        HsFrameKind::Stub => stub(&mut frame, body),
        _ => java(&mut frame, body),
    }
    Some(frame)
}

/// `[lib+0x1]  func+0x2  (file.c:3)`, or a bare address.
fn native<'d>(frame: &mut HsFrame<'d>, body: &'d str) {
    let Some(inside) = body.strip_prefix('[') else {
        frame.pc = body.starts_with("0x").then(|| leading_hex(body)).flatten();
        if frame.pc.is_none() {
            function(frame, body);
        }
        return;
    };
    // A library may be called `a]b`; the offset ends the name.
    let Some((library, rest)) = inside.split_once("+0x") else { return };
    frame.library = Some(Cow::Borrowed(library));
    frame.library_offset = leading_hex(rest);
    if let Some((_, behind)) = rest.split_once(']') {
        function(frame, behind.trim());
    }
}

fn function<'d>(frame: &mut HsFrame<'d>, text: &'d str) {
    let mut text = text;
    if let Some((before, place)) = text
        .strip_suffix(')')
        .and_then(|text| text.rsplit_once("  (").or(text.split_once('(').filter(|(before, _)| before.is_empty())))
    {
        if let Some((file, line)) =
            place.rsplit_once(':').filter(|(_, line)| line.bytes().all(|byte| byte.is_ascii_digit()))
        {
            frame.location = Some((Cow::Borrowed(file), line.parse().ok()));
            text = before.trim_end();
        } else if place.starts_with("no source info") {
            text = before.trim_end();
        }
    }
    let (name, offset) = match text.rsplit_once("+0x") {
        Some((name, offset)) => (name, leading_hex(offset)),
        None => (text, None),
    };
    frame.function = Some(Cow::Borrowed(name)).filter(|name: &Cow<'_, str>| !name.is_empty());
    frame.function_offset = offset;
}

/// `~StubRoutines::call_stub 0x…`, `~BufferBlob::StubRoutines (2)`, `~RuntimeStub::x (sp=0x…)`.
fn stub<'d>(frame: &mut HsFrame<'d>, body: &'d str) {
    let (name, pc) = match body.rsplit_once(" 0x") {
        Some((name, pc)) => (name, leading_hex(pc)),
        None => (body, None),
    };
    frame.function = Some(Cow::Borrowed(name.trim_end())).filter(|name: &Cow<'_, str>| !name.is_empty());
    frame.pc = pc;
}

/// A method with all that stands before and behind it.
fn java<'d>(frame: &mut HsFrame<'d>, body: &'d str) {
    let mut rest = body;
    if frame.kind != HsFrameKind::Interpreted {
        // The number of the compilation, `%` of a compiled loop, the compiler: none of them before JDK 8.
        if let Some(id) = leading_decimal(rest).filter(|_| rest.as_bytes().first().is_some_and(u8::is_ascii_digit)) {
            frame.compile_id = u32::try_from(id).ok();
            rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        }
        if let Some(behind) = rest.strip_prefix('%') {
            frame.osr = true;
            rest = behind;
        }
        rest = rest.trim_start();
        if let Some((word, behind)) = rest.split_once(' ').filter(|(word, _)| COMPILERS.contains(word)) {
            frame.compiler = Some(Cow::Borrowed(word));
            rest = behind.trim_start();
        }
    }
    let Some((method, behind)) = method(rest) else {
        frame.function = Some(Cow::Borrowed(rest)).filter(|name: &Cow<'_, str>| !name.is_empty());
        return;
    };
    frame.method = Some(method);
    let mut behind = behind;
    if frame.kind == HsFrameKind::Interpreted {
        frame.bci = behind.strip_prefix('+').and_then(leading_decimal).and_then(|bci| u32::try_from(bci).ok());
        behind = behind.split_once(' ').map_or("", |(_, rest)| rest);
    }
    let module = behind.split_whitespace().next().filter(|word| !word.starts_with(['(', '@', '[']));
    frame.module = module.map(Cow::Borrowed);
    if let Some((_, size)) = behind.split_once('(') {
        frame.bytecode_size = leading_decimal(size).and_then(|size| u32::try_from(size).ok());
    }
    if let Some((_, pc)) = behind.split_once("@ 0x") {
        frame.pc = leading_hex(pc);
        let code = pc.split_once('[').and_then(|(_, code)| code.split_once('+'));
        frame.code = code.and_then(|(begin, offset)| Some((leading_hex(begin)?, leading_hex(offset)?)));
    }
}

/// Names of compilers between the number and the method.
const COMPILERS: [&str; 6] = ["c1", "c2", "C1", "C2", "jvmci", "JVMCI"];

/// `pkg.Cls.m(Sig)R` and what stands behind it.
pub(super) fn method(text: &str) -> Option<(JavaMethod<'_>, &str)> {
    let open = text.find('(')?;
    let (class, name) = text.get(..open)?.rsplit_once('.')?;
    if class.is_empty() || name.is_empty() || class.contains(' ') {
        return None;
    }
    let tail = text.get(open..)?;
    let length = descriptor(tail)?;
    let method = JavaMethod {
        class: Cow::Borrowed(class),
        name: Cow::Borrowed(name),
        descriptor: Cow::Borrowed(tail.get(..length)?),
    };
    Some((method, tail.get(length..)?))
}

/// Bytes of the descriptor that begins here: up to the end of its return type (JVM specification 4.3.3). A torn one ends
/// where the text does.
fn descriptor(text: &str) -> Option<usize> {
    let close = text.find(')')?;
    let result = text.get(close + 1..)?;
    let dimensions = result.bytes().take_while(|&byte| byte == b'[').count();
    let kind = result.get(dimensions..)?;
    let length = match kind.bytes().next() {
        Some(b'L') => kind.find(';').map_or(kind.len(), |end| end + 1),
        Some(b'B' | b'C' | b'D' | b'F' | b'I' | b'J' | b'S' | b'V' | b'Z') => 1,
        _ => 0,
    };
    Some(close + 1 + dimensions + length)
}

#[cfg(test)]
mod tests {
    use necropsy_model::Source;

    use super::*;

    fn read(text: &str) -> HsFrame<'_> {
        parse(Line { text, source: Source::line(1) }).unwrap()
    }

    #[test]
    fn native_frames() {
        let frame = read("C  [librefund.so+0x11c8]  apply_refund+0xf  (refund.c:12)");
        assert_eq!((frame.library.as_deref(), frame.library_offset), (Some("librefund.so"), Some(0x11c8)));
        assert_eq!((frame.function.as_deref(), frame.function_offset), (Some("apply_refund"), Some(0xf)));
        assert_eq!(frame.location, Some(("refund.c".into(), Some(12))));
        let frame = read("V  [libjvm.so+0xae8823]  f(JNIEnv_*, JNI_ArgumentPusher*) [clone .constprop.1]+0x193");
        assert_eq!(frame.function.as_deref(), Some("f(JNIEnv_*, JNI_ArgumentPusher*) [clone .constprop.1]"));
        assert_eq!(frame.location, None);
        let frame = read("V  [libjvm.so+0x1]  JavaThread::print_on(outputStream*, bool) const+0x2");
        assert_eq!(frame.function.as_deref(), Some("JavaThread::print_on(outputStream*, bool) const"));
        assert_eq!(read("C  [python3+0xc10d4]").function, None);
        assert_eq!(read("C  0x0000000000003b36").pc, Some(0x3b36));
        let frame = read("C  [ntdll.dll+0x1]  (no source info available)");
        assert_eq!((frame.function, frame.location), (None, None));
    }

    #[test]
    fn java_frames() {
        let frame = read("J 13% c2 Crash.spin(JI)J java.base@17.0.2 (41 bytes) @ 0x00007f10 [0x00007f00+0x0010]");
        let method = frame.method.unwrap();
        assert_eq!(
            (method.class.as_ref(), method.name.as_ref(), method.descriptor.as_ref()),
            ("Crash", "spin", "(JI)J")
        );
        assert_eq!((frame.compile_id, frame.osr, frame.compiler.as_deref()), (Some(13), true, Some("c2")));
        assert_eq!((frame.bytecode_size, frame.pc, frame.code), (Some(41), Some(0x7f10), Some((0x7f00, 0x10))));
        assert_eq!(frame.module.as_deref(), Some("java.base@17.0.2"));
        let frame = read("J 4955  a.B.c([JLjava/lang/String;)[Ljava/lang/Object; (0 bytes) @ 0x10 [0x1+0xf]");
        assert_eq!(frame.method.unwrap().descriptor, "([JLjava/lang/String;)[Ljava/lang/Object;");
        assert_eq!((frame.compiler, frame.module), (None, None));
        let frame = read("j  java.lang.invoke.LambdaForm$MH+0x0000200001047000.invoke(JI)I+10 java.base@25");
        assert_eq!(frame.method.unwrap().class, "java.lang.invoke.LambdaForm$MH+0x0000200001047000");
        assert_eq!((frame.bci, frame.module.as_deref()), (Some(10), Some("java.base@25")));
        let frame = read("J  java.util.HashMap.put(Ljava/lang/Object;)V");
        assert_eq!(frame.method.unwrap().name, "put");
    }

    #[test]
    fn stubs_and_what_is_no_frame() {
        let frame = read("v  ~StubRoutines::call_stub 0x00007fba6b938fa6");
        assert_eq!((frame.function.as_deref(), frame.pc), (Some("~StubRoutines::call_stub"), Some(0x7fba_6b93_8fa6)));
        assert_eq!(read("v  ~BufferBlob::StubRoutines (2)").function.as_deref(), Some("~BufferBlob::StubRoutines (2)"));
        for text in ["", "x", "[error occurred]", "Current thread", "C1: 12", "é"] {
            assert!(parse(Line { text, source: Source::line(1) }).is_none(), "{text}");
        }
        for text in ["J 1 c2 ", "j  a.b(", "j  a.b(I", "C  [", "C  [a+0x", "J 99999999999999999999 c1 a.b()V"] {
            let _ = parse(Line { text, source: Source::line(1) });
        }
    }
}
