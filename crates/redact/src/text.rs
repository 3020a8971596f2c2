//! Texts: what runs through sentences, messages, arguments, names of threads.

use std::sync::LazyLock;

use necropsy_model::jvm::SERVERS;
use regex::{Captures, Regex};

use crate::Redactor;
use crate::placeholder::Kind;
use crate::words::{self, PHRASES, Tail};

/// Numbers below this are offsets, sizes and null pointers with a field's offset, not places in memory. The lowest address
/// that Linux maps is `vm.mmap_min_addr`, 64 KiB.
const LOWEST_ADDRESS: u64 = 0x1_0000;
/// Digits at the end of a thread's name that number the threads of a pool.
const NUMBERING: usize = 4;

/// What is replaced wherever it stands, the first that matches.
fn secrets() -> Option<&'static Regex> {
    static SECRETS: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(
            r#"(?x)
            (?P<url> \b [a-zA-Z][a-zA-Z0-9+.-]* :// [^\s"'<>]+ )
            | (?P<email> [A-Za-z0-9._%+-]+ @ [A-Za-z0-9-]+ (?: \. [A-Za-z0-9-]+ )* \. [A-Za-z]{2,} \b )
            | (?P<id> \b [0-9a-fA-F]{8} (?: - [0-9a-fA-F]{4} ){3} - [0-9a-fA-F]{12} \b )
            | (?P<host> \b (?: \d{1,3} \. ){3} \d{1,3} (?: : \d{1,5} )? \b
                | \b (?: [0-9a-fA-F]{1,4} : ){7} [0-9a-fA-F]{1,4} \b
                | \b (?: [0-9][0-9a-fA-F]{0,3} | f[cde][0-9a-f]{2} ) (?: : [0-9a-fA-F]{1,4} ){0,6} :: [0-9a-fA-F:]* )
            | (?P<address> 0x [0-9a-fA-F]+ )
            | (?P<path> (?: ~ | \b [A-Za-z]: )? (?: [/\\] [^\s"'`<>:;,()\[\]{}|/\\]+ )+ [/\\]? )
            | (?P<quoted> " [^"\n]* " | ' [^'\n]* ' | ` [^`'\n]* [`'] )
            | (?P<key> (?i: pass (?: word | wd | phrase )? | pwd | secret | token | api [_-]? key | auth (?:orization)?
                | bearer | session | cookie | credentials? ) ["']? \s* [=:] \s* ) (?P<value> [^\s,;&"']+ )
            | (?P<token> [A-Za-z0-9_+/=-]{20,} )
            | (?P<number> \d{9,} )
            "#,
        )
        .ok()
    });
    SECRETS.as_ref()
}

impl Redactor {
    /// Words of a tool, a runtime or the kernel that may quote those of the program.
    pub(crate) fn free(&mut self, text: &str) -> String {
        self.scan(text, 0)
    }

    fn scan(&mut self, text: &str, from: usize) -> String {
        // The pattern is a constant; should it ever not compile, nothing may pass.
        let Some(secrets) = secrets() else { return self.placeholder(Kind::Text, text) };
        let mut out = String::with_capacity(text.len());
        let mut last = from;
        while let Some(found) = secrets.captures_at(text, last) {
            let Some(whole) = found.get(0) else { break };
            out.push_str(text.get(last..whole.start()).unwrap_or_default());
            let before = text.get(..whole.start()).unwrap_or_default();
            out.push_str(&self.replaced(&found, before));
            last = whole.end();
        }
        out.push_str(text.get(last..).unwrap_or_default());
        out
    }

    fn replaced(&mut self, found: &Captures<'_>, before: &str) -> String {
        let named = |name: &str| found.name(name).map(|part| part.as_str());
        let whole = found.get(0).map_or("", |part| part.as_str());
        if let Some(path) = named("path") {
            // `read/write`, `and/or`: a slash between words is no path.
            let inside = before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | ')' | '>' | '$'));
            return if inside { path.to_owned() } else { self.free_path(path) };
        }
        if let Some(quoted) = named("quoted") {
            return self.quoted(quoted, before);
        }
        if let Some((key, value)) = named("key").zip(named("value")) {
            return format!("{key}{}", self.placeholder(Kind::Token, value));
        }
        if let Some(address) = named("address") {
            return self.address(address, before);
        }
        if let Some(token) = named("token") {
            let mixed = token.bytes().any(|b| b.is_ascii_digit()) && token.bytes().any(|b| b.is_ascii_alphabetic());
            let plain = !mixed || token.contains("-linux-") || self.is_kept(token);
            return if plain { token.to_owned() } else { self.placeholder(Kind::Token, token) };
        }
        let kinds = [
            ("url", Kind::Url),
            ("email", Kind::Email),
            ("id", Kind::Id),
            ("host", Kind::Host),
            ("number", Kind::Number),
        ];
        let kind = kinds.iter().find(|(name, _)| named(name).is_some()).map_or(Kind::Text, |&(_, kind)| kind);
        self.placeholder(kind, whole)
    }

    /// A quoted text: a name that stays, something that was replaced elsewhere, or a string of the program.
    fn quoted(&mut self, quoted: &str, before: &str) -> String {
        let mut characters = quoted.chars();
        let (open, close) = (characters.next().unwrap_or('"'), characters.next_back().unwrap_or('"'));
        let inner = characters.as_str();
        // `can't … don't`: no quotes.
        if before.ends_with(char::is_alphanumeric) {
            return format!("{open}{}{close}", self.free(inner));
        }
        if inner.len() < 2 || self.is_kept(inner) || words::is_runtime_thread(inner) {
            return quoted.to_owned();
        }
        if let Some(placeholder) = self.known(inner) {
            return format!("{open}{placeholder}{close}");
        }
        format!("{open}{}{close}", self.placeholder(Kind::Text, inner))
    }

    /// A number in hexadecimal: an address unless it is small, or an offset in the dump or in a module.
    fn address(&mut self, number: &str, before: &str) -> String {
        let value = number.get(2..).and_then(|digits| u64::from_str_radix(digits, 16).ok());
        let offset = ["+", "offset ", "\"module_offset\":\"", "\"module_offset\": \""];
        if value.is_some_and(|value| value < LOWEST_ADDRESS) || offset.iter().any(|end| before.ends_with(end)) {
            return number.to_owned();
        }
        match value {
            Some(value) => self.placeholder(Kind::Address, &format!("{value:x}")),
            None => self.placeholder(Kind::Value, number),
        }
    }

    /// What the program said of its own end. The words of the runtime stay, those of the program go.
    pub(crate) fn message(&mut self, text: &str) -> String {
        let lines: Vec<_> = text.split('\n').map(|line| self.message_line(line)).collect();
        lines.join("\n")
    }

    fn message_line(&mut self, line: &str) -> String {
        let text = line.trim();
        let is_mark = |text: &str| {
            let text = text.trim();
            text.is_empty() || matches!(text, "panic:" | "fatal error:" | "runtime:" | "Caused by:" | "[recovered]")
        };
        if is_mark(text) || self.known(text).is_some_and(|known| known == text) {
            return line.to_owned();
        }
        let found = PHRASES.iter().filter_map(|&(phrase, tail)| Some((line.find(phrase)?, phrase, tail)));
        let Some((at, phrase, tail)) = found.min_by_key(|&(at, phrase, _)| (at, std::cmp::Reverse(phrase.len())))
        else {
            let (mark, own) = ["panic: ", "fatal error: "]
                .iter()
                .find_map(|mark| Some((*mark, text.strip_prefix(mark)?)))
                .unwrap_or(("", text));
            return format!("{mark}{}", self.remembered(Kind::Message, own));
        };
        let (head, rest) = line.split_at(at);
        let rest = rest.get(phrase.len()..).unwrap_or_default();
        let head = match head {
            head if is_mark(head) => head.to_owned(),
            // `program: file.c:12: function: Assertion `: all of it is structure.
            head if phrase.starts_with("Assertion") => self.free(head),
            head if head.starts_with("thread '") => self.free(head),
            head => format!("{} ", self.placeholder(Kind::Message, head.trim())),
        };
        let rest = match tail {
            _ if rest.trim().is_empty() => rest.to_owned(),
            // The expression of an assertion is code; so are its quotes.
            Tail::Runtime if phrase.starts_with("Assertion") => rest.to_owned(),
            Tail::Runtime if phrase.ends_with("instance of ") => rest.to_owned(),
            Tail::Runtime => self.free(rest),
            Tail::Program => self.remembered(Kind::Message, rest.trim()),
        };
        format!("{head}{phrase}{rest}")
    }

    /// A thread's name. That threads belong to one pool stays visible by the number at the end.
    pub(crate) fn thread_name(&mut self, name: &str) -> String {
        if name.is_empty() || words::is_runtime_thread(name) || self.is_kept(name) {
            return name.to_owned();
        }
        // That a thread serves requests is no secret, and rules ask for it: `http-<thread-1>-3`.
        let server = SERVERS.iter().find(|server| name.len() > server.len() && name.starts_with(**server));
        let (server, own) = name.split_at(server.map_or(0, |server| server.len()));
        let stem = own.trim_end_matches(|c: char| c.is_ascii_digit());
        let number = own.get(stem.len()..).unwrap_or_default();
        let short = !number.is_empty() && number.len() <= NUMBERING && !stem.is_empty();
        let replaced = if short {
            format!("{server}{}-{number}", self.placeholder(Kind::Thread, stem))
        } else {
            format!("{server}{}", self.placeholder(Kind::Thread, own))
        };
        self.remember(name, &replaced);
        replaced
    }

    /// A command line: the program stays as a path does, its arguments go. Programs write what they like there, and HotSpot begins with
    /// its options: what does not look like a program is an argument.
    pub(crate) fn command_line(&mut self, line: &str) -> String {
        let mut words = line.split_whitespace();
        let first = words
            .next()
            .map(|program| if is_program(program) { self.file_path(program) } else { self.argument(program) });
        let rest = words.map(|word| self.argument(word));
        first.into_iter().chain(rest).collect::<Vec<_>>().join(" ")
    }

    /// Several arguments in one text.
    pub(crate) fn arguments(&mut self, line: &str) -> String {
        line.split_whitespace().map(|word| self.argument(word)).collect::<Vec<_>>().join(" ")
    }

    /// One argument. Of the switches of a virtual machine the name stays, and a number that sets a limit.
    pub(crate) fn argument(&mut self, argument: &str) -> String {
        if argument.is_empty() || words::is_plain_flag(argument) {
            return argument.to_owned();
        }
        let of_vm = ["-X", "-D", "-agent", "-javaagent", "--add-", "--enable-"];
        if of_vm.iter().any(|start| argument.starts_with(start))
            && let Some(at) = argument.find([':', '=']).filter(|_| !argument.starts_with("-XX:"))
        {
            let (name, value) = argument.split_at(at + 1);
            return format!("{name}{}", self.setting(value));
        }
        if let Some((name, value)) = argument.strip_prefix("-XX:").and_then(|flag| flag.split_once('=')) {
            return format!("-XX:{name}={}", self.setting(value));
        }
        self.remembered(Kind::Argument, argument)
    }

    /// The value of a switch: libraries stay by their names.
    fn setting(&mut self, value: &str) -> String {
        let (path, options) = value.split_once('=').map_or((value, None), |(path, options)| (path, Some(options)));
        let path = if path.starts_with('/') {
            path.split(':').map(|path| self.free_path(path)).collect::<Vec<_>>().join(":")
        } else if !path.is_empty() && path.bytes().all(|b| b.is_ascii_lowercase()) && options.is_some() {
            // `-agentlib:jdwp=…`: the name of an agent.
            path.to_owned()
        } else {
            self.remembered(Kind::Argument, path)
        };
        match options {
            Some(options) => format!("{path}={}", self.remembered(Kind::Argument, options)),
            None => path,
        }
    }

    /// The value of a variable of the environment.
    pub(crate) fn environment(&mut self, name: &str, value: &str) -> String {
        match name {
            _ if value.is_empty() => String::new(),
            "LANG" | "TERM" | "TZ" => value.to_owned(),
            _ if name.starts_with("LC_") || name.starts_with("MALLOC_") => value.to_owned(),
            "JAVA_TOOL_OPTIONS" | "_JAVA_OPTIONS" | "JDK_JAVA_OPTIONS" => self.arguments(value),
            _ if value.starts_with('/') => {
                value.split(':').map(|path| self.free_path(path)).collect::<Vec<_>>().join(":")
            }
            _ => self.remembered(Kind::Environment, value),
        }
    }

    /// What a runtime printed for a value it does not name: an address or a number.
    pub(crate) fn printed(&mut self, value: &str) -> String {
        let is_address = value.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        match value {
            "" | "..." | "_" | "nil" | "NULL" | "null" | "0" => value.to_owned(),
            _ if is_address => self.address(value, ""),
            _ => self.placeholder(Kind::Value, value),
        }
    }
}

/// Replaces the addresses in a text from a byte on; what is before tells what the first number means.
pub(crate) fn addresses(redactor: &mut Redactor, text: &str, from: usize) -> String {
    let mut out = String::with_capacity(text.len());
    let mut last = from;
    while let Some(at) = text.get(last..).and_then(|rest| rest.find("0x")).map(|at| at + last) {
        let digits = text.get(at + 2..).unwrap_or_default();
        let end = at + 2 + digits.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(digits.len());
        out.push_str(text.get(last..at).unwrap_or_default());
        let number = text.get(at..end).unwrap_or_default();
        let before = text.get(..at).unwrap_or_default();
        if end == at + 2 || ends_an_escape(before) {
            out.push_str(number);
        } else {
            out.push_str(&redactor.address(number, before));
        }
        last = end;
    }
    out.push_str(text.get(last..).unwrap_or_default());
    out
}

/// The next digit is the last one of an escape in JSON: `\u0000x7f00` is a NUL and five letters, no address. A backslash that is
/// escaped itself begins none.
fn ends_an_escape(before: &str) -> bool {
    let Some((head, tail)) = before.len().checked_sub(4).and_then(|at| before.split_at_checked(at)) else {
        return false;
    };
    let digits = tail.strip_prefix('u').is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    digits && head.bytes().rev().take_while(|&byte| byte == b'\\').count() % 2 == 1
}

/// The first word of a command line is the name or the path of a program: `./pay`, `postgres:`, `C:\java.exe`.
fn is_program(word: &str) -> bool {
    let name = word.strip_suffix(':').unwrap_or(word);
    let name = match name.get(1..3) {
        Some(":\\" | ":/") => name.get(3..).unwrap_or_default(),
        _ => name,
    };
    !name.starts_with('-') && !name.contains(['=', '@', ':', '?', '{', '"', '\''])
}

#[cfg(test)]
mod tests;
