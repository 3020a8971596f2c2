//! Opening inputs: a path or standard input, mapped, never read whole.

use std::fs::File;
use std::io;

use necropsy_model::Arena;
use necropsy_report::Input;

/// An opened input.
pub(crate) struct Opened<'data> {
    /// Its bytes.
    pub data: &'data [u8],
    /// Where they came from.
    pub input: Input,
}

/// Why an input could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The operating system refused.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Opens a path; `-` is standard input.
pub(crate) fn open<'data>(path: &str, arena: &'data Arena) -> Result<Opened<'data>, Error> {
    let data = match path {
        "-" => arena.keep(read_all(io::stdin().lock())?),
        path => arena.keep(read_all(File::open(path)?)?),
    };
    Ok(Opened { data, input: Input { path: path.to_owned(), bytes: data.len() as u64, ..Input::default() } })
}

fn read_all(mut from: impl io::Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes)?;
    Ok(bytes)
}
