//! `docs/LIMITS.md` says what the sources say: every bound in it exists, with that value.

use std::fs;
use std::path::{Path, PathBuf};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A row of a table of bounds: `` | [`NAME`](../crates/PATH) … | `VALUE` | … ``.
fn row(line: &str) -> Option<(&str, &str, &str)> {
    let (name, rest) = line.strip_prefix("| [`")?.split_once("`](../")?;
    let (path, rest) = rest.split_once(')')?;
    let (_, rest) = rest.split_once("| `")?;
    Some((name, path, rest.split_once('`')?.0))
}

#[test]
fn every_bound_has_the_value_that_the_page_says() {
    let page = fs::read_to_string(repository().join("docs/LIMITS.md")).unwrap();
    let rows: Vec<_> = page.lines().filter_map(row).collect();
    assert!(rows.len() > 150, "{} rows", rows.len());
    let mut wrong = Vec::new();
    for (name, path, value) in rows {
        let source = fs::read_to_string(repository().join(path)).unwrap_or_default();
        let is_it = |line: &str| {
            let found = line.split_once(&format!("const {name}: ")).and_then(|(_, rest)| rest.split_once(" = "));
            found.is_some_and(|(_, found)| found == format!("{value};"))
        };
        if !source.lines().any(is_it) {
            wrong.push(format!("{path}: {name} is not {value}"));
        }
    }
    assert!(wrong.is_empty(), "docs/LIMITS.md:\n{}", wrong.join("\n"));
}

#[test]
fn every_row_says_what_is_bounded_and_what_happens_then() {
    let page = fs::read_to_string(repository().join("docs/LIMITS.md")).unwrap();
    let rows = page.lines().filter(|line| row(line).is_some());
    let mute = rows.filter(|line| {
        let mut cells = line.split('|').skip(3);
        cells.by_ref().take(2).any(|cell| cell.trim().is_empty()) || cells.count() != 2
    });
    assert_eq!(mute.collect::<Vec<_>>(), [""; 0]);
}
