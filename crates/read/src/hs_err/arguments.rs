//! `VM Arguments:`, `[Global flags]`, `Environment Variables:`, `Signal Handlers:`, native memory tracking.

use std::borrow::Cow;

use necropsy_model::Full;
use necropsy_model::hs_err::{Argument, Arguments, GlobalFlag, HandlerLine, HsErr, NmtLine, Said};

use super::words::{Line, after, size_after};

/// Entries of a list at most; a VM has about 1500 flags, and prints those that were changed.
const MAX_ENTRIES: usize = 8192;

/// A line below `VM Arguments:`.
pub(super) fn line<'d>(arguments: &mut Arguments<'d>, line: Line<'d>, full: &mut Full) {
    let text = line.text.trim_end();
    if let Some(rest) = text.strip_prefix("jvm_args:").or_else(|| text.strip_prefix("jvm_flags:")) {
        for word in rest.split_whitespace() {
            if !full.room("arguments of the virtual machine", arguments.vm.len(), MAX_ENTRIES) {
                break;
            }
            arguments.vm.push(Argument { text: Cow::Borrowed(word), source: line.source });
        }
    } else if let Some(command) = text.strip_prefix("java_command:") {
        let command = command.trim();
        if command != "<unknown>" && !command.is_empty() {
            arguments.command = Some(Said::new(Cow::Borrowed(command), line.source));
        }
    } else if let Some(path) = text.strip_prefix("java_class_path (initial):") {
        arguments.class_path = Some(Said::new(Cow::Borrowed(path.trim()), line.source));
    } else if let Some(launcher) = text.strip_prefix("Launcher Type:") {
        arguments.launcher = Some(Cow::Borrowed(launcher.trim()));
    }
}

/// `     intx CICompilerCount                          = 2                            {product} {ergonomic}`.
pub(super) fn flag<'d>(flags: &mut Vec<GlobalFlag<'d>>, line: Line<'d>, full: &mut Full) {
    let Some((before, after)) = line.text.split_once('=') else { return };
    let Some(name) = before.split_whitespace().nth(1).filter(|_| full.room("flags", flags.len(), MAX_ENTRIES)) else {
        return;
    };
    let value = after.split(" {").next().unwrap_or(after).trim();
    let origin = after.rsplit_once('{').map(|(_, origin)| origin.trim_end().trim_end_matches('}'));
    flags.push(GlobalFlag {
        name: Cow::Borrowed(name),
        value: Cow::Borrowed(value),
        origin: origin.map(Cow::Borrowed),
        source: line.source,
    });
}

/// `PATH=/usr/bin`.
pub(super) fn variable<'d>(log: &mut HsErr<'d>, line: Line<'d>, full: &mut Full) {
    let Some((name, value)) = line.text.split_once('=') else { return };
    let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if plain && full.room("environment variables", log.process.environment.len(), MAX_ENTRIES) {
        log.process.environment.push((Cow::Borrowed(name), Cow::Borrowed(value), line.source));
    }
}

/// `   SIGSEGV: crash_handler in libjvm.so, mask=…, flags=…`, `SIGSEGV: [libjvm.so+0x1], sa_mask[0]=…, sa_flags=…`.
pub(super) fn handler<'d>(handlers: &mut Vec<HandlerLine<'d>>, line: Line<'d>, full: &mut Full) {
    let text = line.text.trim();
    if text.contains("Handler was modified") {
        if let Some(last) = handlers.last_mut() {
            last.modified = true;
        }
        return;
    }
    let Some((signal, rest)) = text.split_once(':').filter(|(name, _)| name.starts_with("SIG") && !name.contains(' '))
    else {
        return;
    };
    let rest = rest.trim();
    let cut = [", mask=", ", sa_mask"].iter().find_map(|word| rest.find(word)).unwrap_or(rest.len());
    let handler = rest.get(..cut).unwrap_or(rest);
    let bracket = handler.strip_prefix('[').and_then(|inside| inside.split_once('+')).map(|(library, _)| library);
    let library = bracket.or_else(|| after(handler, " in "));
    if full.room("signal handlers", handlers.len(), MAX_ENTRIES) {
        handlers.push(HandlerLine {
            signal: Cow::Borrowed(signal),
            handler: Cow::Borrowed(handler),
            library: library.map(Cow::Borrowed),
            modified: false,
            source: line.source,
        });
    }
}

/// `Total: reserved=1KB, committed=2KB` and `-                 Java Heap (reserved=1KB, committed=2KB)`.
pub(super) fn native_memory<'d>(lines: &mut Vec<NmtLine<'d>>, line: Line<'d>, full: &mut Full) {
    let text = line.text.trim();
    let name = match text.strip_prefix('-') {
        Some(rest) => rest.split(" (reserved=").next(),
        None => text.strip_prefix("Total:").map(|_| "Total"),
    };
    let Some(name) = name.map(str::trim).filter(|name| !name.is_empty()) else { return };
    let sizes = size_after(text, "reserved=").zip(size_after(text, "committed="));
    if let Some((reserved, committed)) = sizes.filter(|_| full.room("lines of native memory", lines.len(), MAX_ENTRIES))
    {
        lines.push(NmtLine { name: Cow::Borrowed(name), reserved, committed, source: line.source });
    }
}

#[cfg(test)]
mod tests {
    use necropsy_model::Source;

    use super::*;

    fn at(text: &str) -> Line<'_> {
        Line { text, source: Source::line(1) }
    }

    #[test]
    fn arguments_and_flags_are_found_by_name() {
        let mut log = HsErr::default();
        line(
            &mut log.process.arguments,
            at("jvm_args: -Xmx256m -XX:+UseZGC -XX:ErrorFile=/tmp/x.log "),
            &mut Full::default(),
        );
        line(&mut log.process.arguments, at("java_command: <unknown>"), &mut Full::default());
        flag(
            &mut log.process.flags,
            at("     intx CICompilerCount      = 2             {product} {ergonomic}"),
            &mut Full::default(),
        );
        assert_eq!(log.process.flag("UseZGC"), Some("true"));
        assert_eq!(log.process.flag("ErrorFile"), Some("/tmp/x.log"));
        assert_eq!(log.process.flag("CICompilerCount"), Some("2"));
        assert_eq!(log.process.flags[0].origin.as_deref(), Some("ergonomic"));
        assert_eq!(log.process.flag("UseG1GC"), None);
        assert!(log.process.arguments.command.is_none());
    }

    #[test]
    fn handlers_of_every_age() {
        let mut handlers = Vec::new();
        for text in [
            "SIGSEGV: [libjvm.so+0xa2e6d0], sa_mask[0]=11111111011111111101111111111110, sa_flags=SA_RESTART|SA_SIGINFO",
            "   SIGFPE: crash_handler in libjvm.so, mask=11100100010111111101111111111110, flags=SA_SIGINFO, unblocked",
            "  *** Handler was modified!",
            "   SIGPIPE: SIG_DFL, mask=000, flags=none",
        ] {
            handler(&mut handlers, at(text), &mut Full::default());
        }
        assert_eq!(handlers[0].library.as_deref(), Some("libjvm.so"));
        assert_eq!((handlers[1].library.as_deref(), handlers[1].modified), (Some("libjvm.so"), true));
        assert_eq!((handlers[2].handler.as_ref(), handlers[2].library.as_deref()), ("SIG_DFL", None));
    }
}
