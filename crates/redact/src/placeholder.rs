//! Placeholders: what was replaced by what, within one report.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use necropsy_model::{Snapshot, Value};

use crate::table::Redact;
use crate::words;

/// What kind of thing a placeholder stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Address,
    Argument,
    Bool,
    Char,
    Email,
    Enum,
    Environment,
    Float,
    Host,
    Id,
    Int,
    Label,
    Message,
    Number,
    Path,
    Text,
    Thread,
    Token,
    Url,
    User,
    Value,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Address => "addr",
            Self::Argument => "arg",
            Self::Bool => "bool",
            Self::Char => "char",
            Self::Email => "email",
            Self::Enum => "enum",
            Self::Environment => "env",
            Self::Float => "float",
            Self::Host => "host",
            Self::Id => "id",
            Self::Int => "int",
            Self::Label => "label",
            Self::Message => "message",
            Self::Number => "number",
            Self::Path => "path",
            Self::Text => "string",
            Self::Thread => "thread",
            Self::Token => "token",
            Self::Url => "url",
            Self::User => "user",
            Self::Value => "value",
        }
    }
}

/// Replaces what must not be shown. One for each report: numbers begin anew, so that they tell nothing across reports.
#[derive(Debug, Default)]
pub struct Redactor {
    /// The number of a thing among those of its kind.
    numbers: HashMap<Kind, HashMap<String, usize>>,
    /// What a quoted text that was seen before became.
    seen: HashMap<String, String>,
    /// Names that stay: functions, types, variables, modules, source files.
    kept: HashSet<String>,
}

impl Redactor {
    /// Nothing replaced yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Replaces everything in a snapshot that must not be shown. The dump's memory itself stays as it is: rules do not read
    /// it, and a report prints of it only what is in the other fields.
    pub fn snapshot(&mut self, snapshot: &mut Snapshot<'_>) {
        self.learn(snapshot);
        snapshot.redact(self);
    }

    /// The placeholder of a thing.
    pub(crate) fn placeholder(&mut self, kind: Kind, of: &str) -> String {
        let numbers = self.numbers.entry(kind).or_default();
        let next = numbers.len() + 1;
        let number = *numbers.entry(of.to_owned()).or_insert(next);
        format!("<{}-{number}>", kind.name())
    }

    /// The same, and it is known again where free text quotes it.
    pub(crate) fn remembered(&mut self, kind: Kind, of: &str) -> String {
        let placeholder = self.placeholder(kind, of);
        self.remember(of, &placeholder);
        placeholder
    }

    /// `of` became `placeholder`, wherever it is quoted.
    pub(crate) fn remember(&mut self, of: &str, placeholder: &str) {
        self.seen.insert(of.to_owned(), placeholder.to_owned());
    }

    /// What a quoted text became, when it was seen before.
    pub(crate) fn known(&self, text: &str) -> Option<&str> {
        self.seen.get(text).map(String::as_str)
    }

    /// Whether a word is a name that stays.
    pub(crate) fn is_kept(&self, word: &str) -> bool {
        self.kept.contains(word)
    }

    /// Collects the names that stay.
    fn learn(&mut self, snapshot: &Snapshot<'_>) {
        let mut keep = |name: &str| {
            self.kept.insert(name.to_owned());
        };
        for frame in &snapshot.frames {
            frame.function.iter().for_each(|name| keep(name));
            frame.location.iter().for_each(|location| keep(location.file_name()));
            for variable in &frame.variables {
                variable.name.iter().chain(&variable.type_name).for_each(|name| keep(name));
                fields(&variable.value, &mut keep);
            }
        }
        for module in &snapshot.modules {
            keep(module.name());
            // The kernel keeps the first 15 bytes of a program's name as the name of its threads.
            keep(module.name().get(..15).unwrap_or(module.name()));
            module.build_id.iter().for_each(|id| keep(&id.to_string()));
        }
        snapshot.process.exe.iter().for_each(|exe| keep(words::base(exe)));
    }
}

/// Names of members, which are as little a secret as those of variables.
fn fields(value: &Value<'_>, keep: &mut impl FnMut(&str)) {
    if let Value::Struct { fields: members, .. } = value {
        for member in members {
            member.name.iter().for_each(|name: &Cow<'_, str>| keep(name));
            fields(&member.value, keep);
        }
    }
}
