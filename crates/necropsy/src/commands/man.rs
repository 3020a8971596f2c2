//! `necropsy man`: the manual.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use super::Failure;
use crate::args::Cli;

/// How it is read.
const EXAMPLES: &str = "\
Examples:
  necropsy man | man -l -
  necropsy man --dir /usr/local/share/man/man1";

/// Print the manual page, or write those of all subcommands into a directory
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Write necropsy.1, necropsy-explain.1 and so on into this directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Writes the page, or all pages.
pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<(), Failure> {
    let mut command = Cli::command();
    command.build();
    match &args.dir {
        None => Ok(out.write_all(&page(&command, "necropsy")?)?),
        Some(folder) => pages(&command, folder),
    }
}

fn pages(command: &Command, folder: &Path) -> Result<(), Failure> {
    let save = |name: &str, page: &[u8]| {
        let path = folder.join(format!("{name}.1"));
        fs::write(&path, page).map_err(|error| Failure::Said(format!("{}: {error}", path.display())))
    };
    save("necropsy", &page(command, "necropsy")?)?;
    for subcommand in command.get_subcommands() {
        let name = format!("necropsy-{}", subcommand.get_name());
        save(&name, &page(subcommand, &name)?)?;
    }
    Ok(())
}

/// A page in roff.
fn page(command: &Command, name: &str) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    Man::new(command.clone()).title(name).render(&mut page)?;
    Ok(page)
}
