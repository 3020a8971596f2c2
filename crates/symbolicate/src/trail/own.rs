//! Whose code stands at an instruction: the program's own, a standard library's, or what a compiler made and nobody wrote.

use necropsy_model::{Avma, Location};

use super::Tracer;
use super::lead::Spot;
use crate::names::Named;

/// A function of a standard library, wherever it was compiled.
pub(super) fn is_standard(name: &Named<'_>) -> bool {
    is_of_standard_library(name.function.as_deref(), name.location.as_ref())
}

/// The same by its name and where it stands.
pub(super) fn is_of_standard_library(function: Option<&str>, location: Option<&Location<'_>>) -> bool {
    const NAMES: [&str; 15] = [
        "std::",
        "core::",
        "alloc::",
        "<std::",
        "<core::",
        "<alloc::",
        "__gnu_cxx::",
        "operator new",
        "operator delete",
        "hashbrown::",
        "<hashbrown::",
        "__cxa_",
        "__rustc::",
        "__rust_",
        "rust_panic",
    ];
    let by_name = function.is_some_and(|function| {
        let name = qualified(function);
        NAMES.iter().any(|start| name.starts_with(start) || function.starts_with(start))
    });
    // A file without a line is what was inlined last, and not where the function stands.
    by_name || location.is_some_and(|location| location.line.is_some() && is_standard_file(&location.file))
}

/// A source file of a standard library.
fn is_standard_file(file: &str) -> bool {
    const FILES: [&str; 6] =
        ["/rustc/", "/usr/include/c++/", "/usr/lib/", "/usr/include/", "/usr/local/include/", "/library/"];
    // Cross compilers have theirs in `/usr/aarch64-linux-gnu/include`.
    let of_machine = file.starts_with("/usr/") && file.contains("/include/");
    of_machine || FILES.iter().any(|part| file.starts_with(part)) || file.contains("/include/c++/")
}

/// The name of a function without its return type and parameters: `void std::swap<int>(int&, int&)` is `std::swap<int>`.
fn qualified(function: &str) -> &str {
    let (mut depth, mut start) = (0_usize, 0);
    for (at, character) in function.char_indices() {
        match character {
            '<' => depth += 1,
            '>' => depth = depth.saturating_sub(1),
            ' ' if depth == 0 && !function[..at].ends_with("operator") => start = at + 1,
            '(' if depth == 0 => return function.get(start..at).unwrap_or(function),
            _ => {}
        }
    }
    function.get(start..).unwrap_or(function)
}

/// A destructor, by its name.
pub(super) fn is_destructor(function: &str) -> bool {
    qualified(function).contains('~')
}

/// A constructor, by its name: `a::B::B(int)`.
pub(super) fn is_constructor(function: &str) -> bool {
    let mut parts = qualified(function).rsplit("::");
    let (own, class) = (parts.next(), parts.next());
    own.is_some() && own == class.and_then(|class| class.split('<').next())
}

/// A move constructor (`a::B::B(a::B&&)`) or move assignment (`a::B::operator=(a::B&&)`), by its name.
fn is_move(function: &str) -> bool {
    let name = qualified(function);
    let Some((_, parameters)) = function.split_once(name) else { return false };
    let taken = parameters.strip_prefix('(').and_then(|parameters| parameters.split_once(')')?.0.strip_suffix("&&"));
    let Some((class, own)) = split_name(name) else { return false };
    let plain = split_name(class).map_or(class, |(_, last)| last);
    let plain = plain.split_once('<').map_or(plain, |(plain, _)| plain);
    taken == Some(class) && (own == "operator=" || own == plain)
}

/// A qualified name, and its last part: `a<b::c>::d` is `a<b::c>` and `d`.
fn split_name(name: &str) -> Option<(&str, &str)> {
    let mut depth = 0_usize;
    let at = name.char_indices().rev().find(|&(at, character)| {
        match character {
            '>' => depth += 1,
            '<' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && name[..at].ends_with(':') && character == ':'
    })?;
    Some((name.get(..at.0.checked_sub(1)?)?, name.get(at.0 + 1..)?))
}

impl<'data> Tracer<'_, '_, 'data> {
    /// The instruction was made of code of a standard library, and stands in a function of the program.
    pub fn is_inlined_library(&self, spot: Spot) -> bool {
        let names = self.names(self.address(spot.ctx, spot.at));
        let Some((inner, outer)) = names.first().zip(names.last()) else { return false };
        let file = inner.location.as_ref().map(|location| &location.file);
        !is_standard(outer) && (is_standard(inner) || file.is_some_and(|file| is_standard_file(file)))
    }

    pub fn is_destructor(&self, spot: Spot) -> bool {
        let names = self.names(self.address(spot.ctx, spot.at));
        names.last().and_then(|name| name.function.as_deref()).is_some_and(is_destructor)
    }

    /// The code is that of a move constructor or a move assignment, which hardly anybody writes by hand, or of a constructor that
    /// the compiler made.
    pub fn moves(&self, spot: Spot) -> bool {
        let address = self.address(spot.ctx, spot.at);
        let names = self.names(address);
        let written: Vec<bool> = self.unwritten_names(address, &names);
        written.contains(&true) && names.iter().zip(written).all(|(name, unwritten)| is_standard(name) || unwritten)
    }

    /// Of the names of an address: whose code nobody wrote by hand. A move does what was asked for, and so does a constructor
    /// that the source does not have.
    pub fn unwritten_names(&self, address: u64, names: &[Named<'data>]) -> Vec<bool> {
        let mut made = self.values.made_by_compiler(Avma(address));
        if made.len() != names.len() {
            made = vec![false; names.len()];
        }
        let moves = |name: &Named<'_>| name.function.as_deref().is_some_and(is_move);
        names.iter().zip(made).map(|(name, made)| made || moves(name)).collect()
    }

    /// A move of a standard library, which the program called itself, put it there.
    pub fn is_left_by_move(&mut self, mut spot: Spot) -> bool {
        let mut moves = false;
        for _ in 0..64 {
            let address = self.address(spot.ctx, spot.at);
            let names = self.names(address);
            if names.iter().any(|name| !is_standard(name)) {
                return moves;
            }
            moves = names.last().and_then(|name| name.function.as_deref()).is_some_and(is_move);
            let Some((ctx, at)) = self.caller(spot.ctx) else { return false };
            spot = Spot { ctx, at };
        }
        false
    }

    /// The nearest spot outwards whose code is the program's own.
    pub fn own_spot(&mut self, mut spot: Spot) -> Spot {
        for _ in 0..64 {
            let address = self.address(spot.ctx, spot.at);
            let own = self.names(address).iter().any(|name| !is_standard(name)) && !self.is_library(address);
            if own {
                return spot;
            }
            let Some((ctx, at)) = self.caller(spot.ctx) else { return spot };
            spot = Spot { ctx, at };
        }
        spot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constructors_and_destructors_by_their_names() {
        assert!(is_constructor("Fast::Fast()") && is_constructor("a::Probe<int>::Probe(int)"));
        assert!(!is_constructor("Fast::measure(long)") && !is_constructor("main"));
        assert!(is_destructor("Fast::~Fast()") && !is_destructor("Fast::Fast()"));
    }

    #[test]
    fn moves_by_their_names() {
        for name in [
            "Letter::Letter(Letter&&)",
            "post::Letter::Letter(post::Letter&&)",
            "post::Letter::operator=(post::Letter&&)",
            "std::unique_ptr<Job, std::default_delete<Job> >::unique_ptr(std::unique_ptr<Job, std::default_delete<Job> >&&)",
            "std::vector<a::B, std::allocator<a::B> >::operator=(std::vector<a::B, std::allocator<a::B> >&&)",
        ] {
            assert!(is_move(name), "{name}");
        }
        for name in [
            "Courier::accept(Letter&&)",
            "Letter::Letter(Letter const&)",
            "Letter::Letter(Envelope&&)",
            "main",
            "take(Letter&&)",
        ] {
            assert!(!is_move(name), "{name}");
        }
    }
}
