//! The fatal error logs of the corpus, against what its manifest says of them. `NECROPSY_CORPUS` names the corpus.

use std::path::{Path, PathBuf};

use necropsy_model::hs_err::{Completeness, ErrorKind, HsErr, Section};
use necropsy_model::{Arena, Snapshot};
use rayon::prelude::*;

/// What the manifest says of a log.
struct Row {
    file: PathBuf,
    jdk: String,
    /// Absent in the rows of `gen`, which are all of one machine.
    platform: Option<String>,
    error: String,
    frame: String,
    class: String,
}

/// Logs that end early, though the manifest has another word for their cause.
const CUT: [&str; 4] = [
    "vicenterocha+samoklava_hs_err_pid1.log",
    "Nhien18112+Predictive-Maintenance_hs_err_pid1.log",
    "vhamolyakse+kse_schedule_hs_err_pid1.log",
    "8-sigbus-java.log",
];

fn corpus() -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("NECROPSY_CORPUS")?).join("hserr");
    folder.is_dir().then_some(folder)
}

/// The rows whose logs are there: a part of the corpus may be kept back.
fn rows(corpus: &Path) -> Vec<Row> {
    let manifest = std::fs::read_to_string(corpus.join("MANIFEST.md")).unwrap();
    let mut folder = None;
    let mut rows = Vec::new();
    for line in manifest.lines() {
        if let Some(name) = line.strip_prefix("## ") {
            folder = ["real", "gen"].into_iter().find(|known| name.starts_with(known));
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let Some(folder) = folder.filter(|_| cells.len() >= 7) else { continue };
        let file = corpus.join(folder).join(cells[1]);
        let extension = Path::new(cells[1]).extension().and_then(|extension| extension.to_str());
        let is_log = matches!(extension, Some("log" | "txt")) && !cells[1].ends_with(".stdout.txt");
        if !is_log || !file.is_file() {
            continue;
        }
        let (platform, rest) =
            if folder == "real" { (Some(cells[3].to_owned()), &cells[4..]) } else { (None, &cells[3..]) };
        rows.push(Row {
            file,
            jdk: cells[2].to_owned(),
            platform,
            error: rest[0].to_owned(),
            frame: rest[1].to_owned(),
            class: rest[2].to_owned(),
        });
    }
    rows
}

fn differences(row: &Row, snapshot: &Snapshot<'_>) -> Vec<String> {
    let mut wrong = Vec::new();
    let log = snapshot.hs_err.as_deref().unwrap();
    let build = &log.build;
    let versions: Vec<&str> = [&build.version, &build.full_version].into_iter().flatten().map(AsRef::as_ref).collect();
    if !versions.contains(&row.jdk.as_str()) && !row.jdk.is_empty() {
        wrong.push(format!("JDK {versions:?} is not {}", row.jdk));
    }
    if let Some(platform) = row.platform.as_deref().filter(|platform| *platform != "unknown")
        && build.platform.as_deref() != Some(platform)
    {
        wrong.push(format!("platform {:?} is not {platform}", build.platform));
    }
    let error = log.header.error.as_ref().map(|error| error.value.as_ref()).unwrap_or_default();
    let plain = row.error.trim_end_matches(" (sent by kill)");
    let sent = log.header.sent_by_kill || plain == row.error;
    let agrees = (error.starts_with(plain) && sent) || same_place(log, &row.error);
    if !agrees {
        wrong.push(format!("error {error:?} is not {:?}", row.error));
    }
    if row.frame != "(none)" {
        let frame = log.header.problematic.as_ref().map(|frame| frame.text.as_ref()).unwrap_or_default();
        let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        if !squeezed(frame).starts_with(&squeezed(&row.frame)) && !row.frame.starts_with(',') {
            wrong.push(format!("frame {frame:?} is not {:?}", row.frame));
        }
    }
    let thread = log.thread.as_ref();
    if log.has(Section::Thread) && thread.and_then(|thread| thread.thread).is_none() {
        wrong.push("no thread".to_owned());
    }
    if thread.is_some_and(|thread| thread.source.is_some() && thread.who.kind_text.is_empty()) {
        wrong.push(format!("thread line not read: {:?}", thread.map(|thread| &thread.text)));
    }
    for warning in &snapshot.warnings {
        let cut = warning.text.contains("the log is cut") || warning.text.contains("only the header");
        if cut && row.class != "truncated" && !CUT.iter().any(|name| row.file.ends_with(name)) {
            wrong.push(format!("{} at {}", warning.text, warning.source));
        }
    }
    wrong
}

/// The manifest leaves out the folder of the source file.
fn same_place(log: &HsErr<'_>, want: &str) -> bool {
    let Some((file, line)) = &log.header.raised_at else { return false };
    let place = line.map_or_else(|| file.to_string(), |line| format!("{file}:{line}"));
    want.contains(&place)
}

#[test]
fn every_log_of_the_corpus_is_read() {
    let Some(corpus) = corpus() else { return };
    let rows = rows(&corpus);
    assert!(rows.len() > 100, "{} rows", rows.len());
    let wrong: Vec<String> = rows
        .par_iter()
        .flat_map(|row| {
            let data = std::fs::read(&row.file).unwrap();
            let arena = Arena::new();
            let name = row.file.file_name().unwrap().to_string_lossy().into_owned();
            match necropsy_read::read(&data, &arena, None) {
                Ok(all) if all.len() == 1 && all[0].hs_err.is_some() => {
                    differences(row, &all[0]).into_iter().map(|text| format!("{name}: {text}")).collect()
                }
                Ok(all) => vec![format!("{name}: {} snapshots of {}", all.len(), all[0].format)],
                Err(error) => vec![format!("{name}: {error}")],
            }
        })
        .collect();
    assert!(wrong.is_empty(), "{} wrong in {} logs:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

#[test]
fn cutting_a_log_anywhere_is_no_panic_and_is_told() {
    let Some(corpus) = corpus() else { return };
    let Some(row) = rows(&corpus).into_iter().find(|row| row.file.ends_with("25-jni-null-callback.log")) else {
        return;
    };
    let data = std::fs::read(&row.file).unwrap();
    (0..data.len()).step_by(97).collect::<Vec<_>>().into_par_iter().for_each(|end| {
        let arena = Arena::new();
        let Ok(all) = necropsy_read::read(&data[..end], &arena, None) else { return };
        let log = all[0].hs_err.as_deref().unwrap();
        assert_ne!(log.completeness, Completeness::Complete, "{end}");
        assert!(!all[0].warnings.is_empty(), "{end}");
        assert!(matches!(log.header.kind, ErrorKind::Signal | ErrorKind::Unknown), "{end}");
    });
}
