//! A snapshot without what must not leave the house: values, strings, arguments, environment, names that people gave,
//! directories, hosts, tokens and addresses become placeholders such as `<string-1>` or `<path-2>`. Within one report the
//! same thing has the same placeholder, so that structure can still be followed.
//!
//! This happens **before** anything is concluded. Rules and renderers therefore never see what was taken out, and no sentence
//! they make can contain it. What has no place for a placeholder in the model, an address, is a number until it is written:
//! [`through`] puts a filter before the output, which replaces it there.
//!
//! No field can be forgotten: every structure of the model has a table here (`table`, `go`, `hs_err`) that names each of its
//! fields with what happens to it. A new field of the model does not compile until it has its line.

#![forbid(unsafe_code)]

mod filter;
mod go;
mod hs_err;
mod path;
mod placeholder;
mod table;
mod text;
mod words;

pub use filter::{Filter, through};
pub use placeholder::Redactor;
