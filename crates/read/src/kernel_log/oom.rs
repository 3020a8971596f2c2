//! What the kernel prints when memory ran out: `dump_header` and `oom_kill_process` of `mm/oom_kill.c`,
//! `mem_cgroup_print_oom_meminfo` of `mm/memcontrol.c`. The block begins with `… invoked oom-killer`, and ends with
//! `Killed process`; a log often holds only its end.

use necropsy_model::oom::{OomKill, OomScope, OomTask};
use necropsy_model::{Full, Source};

/// Tasks kept of one table. The kernel lists every process.
const MOST_TASKS: usize = 65_536;
/// Sizes of a page: 4 KiB, and 16 or 64 KiB on aarch64 and ppc64. The table counts pages and does not say of which size.
const PAGES: [u64; 3] = [4096, 16_384, 65_536];

/// A block that is being read.
#[derive(Debug, Default)]
pub(super) struct Block<'t> {
    kill: OomKill<'t>,
    columns: Vec<&'t str>,
    /// Pages in memory of each task of the table.
    pages: Vec<Option<u64>>,
    /// Anonymous pages of each task, to find out the size of a page.
    anonymous: Vec<Option<u64>>,
    begun: bool,
    full: Full,
}

impl<'t> Block<'t> {
    /// Reads a line; the kill, when this line ends the block, with what found no room in it.
    pub(super) fn line(&mut self, words: &'t str, source: Source) -> Option<(OomKill<'t>, Full)> {
        if let Some((name, _)) = words.split_once(" invoked oom-killer: ") {
            *self = Self { begun: true, ..Self::default() };
            self.kill.invoked_by = Some(name.into());
            self.kill.source = source;
        } else if let Some(rest) = words.strip_prefix("memory: usage ") {
            self.kill.usage = kilobytes(rest);
            self.kill.limit = rest.split_once("limit ").and_then(|(_, rest)| kilobytes(rest));
        } else if let Some(rest) = words.strip_prefix("Memory cgroup stats for ") {
            // cgroup v1 went on behind the colon.
            self.kill.cgroup = rest.split(':').next().map(Into::into);
        } else if words.starts_with("[ ") && words.contains(" pid ") && words.ends_with(" name") {
            let columns = words.split_whitespace().filter(|word| !matches!(*word, "[" | "]"));
            self.columns = columns.map(|word| word.trim_matches(['[', ']'])).collect();
        } else if words.starts_with('[') && !self.columns.is_empty() {
            self.row(words, source);
        } else if let Some(rest) = words.strip_prefix("oom-kill:") {
            self.summary(rest);
        } else if let Some(killed) = killed(words) {
            return Some(self.finish(words, killed, source));
        }
        None
    }

    /// `[  21357]     0 21357    17762    16946    15296     1650         0   188416        0             0 python3`
    fn row(&mut self, words: &'t str, source: Source) {
        let Some((pid, rest)) = words.strip_prefix('[').and_then(|rest| rest.split_once(']')) else { return };
        let Ok(pid) = pid.trim().parse() else { return };
        if !self.full.room("tasks in the table of the kernel", self.kill.tasks.len(), MOST_TASKS) {
            return;
        }
        let mut rest = rest;
        let mut values = Vec::new();
        // The name stands last and may hold blanks.
        for _ in 1..self.columns.len().saturating_sub(1) {
            let text = rest.trim_start();
            let end = text.find(' ').unwrap_or(text.len());
            let (value, behind) = text.split_at(end);
            values.push(value);
            rest = behind;
        }
        let of = |column: &str| {
            let at = self.columns.iter().position(|&name| name == column)?.checked_sub(1)?;
            values.get(at).copied()
        };
        let number = |column: &str| of(column).and_then(|value| value.parse::<u64>().ok());
        let (pages, anonymous) = (number("rss"), number("rss_anon"));
        let score = of("oom_score_adj").and_then(|value| value.parse().ok());
        let name = rest.trim();
        if !name.is_empty() {
            self.kill.tasks.push(OomTask { pid, name: name.into(), resident: None, score, source });
            self.pages.push(pages);
            self.anonymous.push(anonymous);
        }
    }

    /// `constraint=CONSTRAINT_MEMCG,nodemask=(null),…,oom_memcg=/x,task_memcg=/x/y,task=python3,pid=21357,uid=0`
    fn summary(&mut self, rest: &'t str) {
        for (key, value) in rest.split(',').filter_map(|part| part.split_once('=')) {
            match (key, value) {
                ("constraint", "CONSTRAINT_MEMCG") => self.kill.scope = OomScope::Cgroup,
                ("constraint", "CONSTRAINT_NONE") => self.kill.scope = OomScope::Machine,
                ("constraint", "CONSTRAINT_CPUSET" | "CONSTRAINT_MEMORY_POLICY") => self.kill.scope = OomScope::Nodes,
                ("oom_memcg", path) => self.kill.cgroup = Some(path.into()),
                _ => {}
            }
        }
    }

    fn finish(&mut self, words: &'t str, mut killed: OomTask<'t>, source: Source) -> (OomKill<'t>, Full) {
        let block = std::mem::take(self);
        let mut kill = block.kill;
        if kill.scope == OomScope::Unknown {
            kill.scope = if words.starts_with("Memory cgroup") {
                OomScope::Cgroup
            } else if words.starts_with("Out of memory") {
                OomScope::Machine
            } else {
                OomScope::Unknown
            };
        }
        let row = kill.tasks.iter().position(|task| task.pid == killed.pid);
        let anonymous = amount(words, "anon-rss:");
        let pages = row.and_then(|row| *block.anonymous.get(row)?);
        let page = page_size(anonymous, pages);
        for (task, pages) in kill.tasks.iter_mut().zip(&block.pages) {
            task.resident = pages.and_then(|pages| pages.checked_mul(page));
        }
        let parts = ["anon-rss:", "file-rss:", "shmem-rss:"];
        let sum = parts
            .iter()
            .filter_map(|part| amount(words, part))
            .fold(None, |sum: Option<u64>, part| Some(sum.unwrap_or(0).saturating_add(part)));
        let listed = row.and_then(|row| kill.tasks.get(row));
        killed.resident = sum.or_else(|| listed?.resident);
        killed.score = killed.score.or_else(|| listed?.score);
        killed.source = source;
        kill.killed = Some(killed);
        kill.cut = !block.begun;
        if kill.source == Source::DUMP {
            kill.source = source;
        }
        (kill, block.full)
    }
}

/// `Out of memory: Killed process 15201 (python3) total-vm:…`, `Memory cgroup out of memory: Killed process …`, and before
/// Linux 5.3 `Killed process …` alone, below a line with `Kill process`.
fn killed(words: &str) -> Option<OomTask<'_>> {
    let (before, rest) = words.split_once("Killed process ")?;
    if !(before.is_empty() || before.ends_with("emory: ") || before.ends_with("oom_kill_allocating_task): ")) {
        return None;
    }
    let (pid, rest) = rest.split_once(" (")?;
    // A name may hold a bracket: the numbers stand behind the last one before them.
    let name = rest.split(") total-vm:").next().and_then(|name| name.split("), UID ").next())?;
    let name = name.split(')').next().filter(|_| !rest.contains(") total-vm:")).unwrap_or(name);
    let score = amount_of(words, "oom_score_adj:");
    Some(OomTask {
        pid: pid.trim_end_matches(',').parse().ok()?,
        name: name.into(),
        resident: None,
        score,
        source: Source::DUMP,
    })
}

fn amount_of(words: &str, mark: &str) -> Option<i64> {
    let (_, rest) = words.split_once(mark)?;
    rest.split([' ', ',']).next()?.parse().ok()
}

/// `anon-rss:61184kB` in bytes.
fn amount(words: &str, mark: &str) -> Option<u64> {
    words.split_once(mark).and_then(|(_, rest)| kilobytes(rest))
}

/// `61440kB` in bytes.
fn kilobytes(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    text.get(digits..).filter(|rest| rest.starts_with("kB"))?;
    text.get(..digits)?.parse::<u64>().ok()?.checked_mul(1024)
}

/// The size of a page, from one task of which both the bytes and the pages are known.
fn page_size(bytes: Option<u64>, pages: Option<u64>) -> u64 {
    let Some((bytes, pages)) = bytes.zip(pages).filter(|&(_, pages)| pages > 0) else { return PAGES[0] };
    let each = bytes / pages;
    PAGES.into_iter().min_by_key(|page| page.abs_diff(each)).unwrap_or(PAGES[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<OomKill<'_>> {
        let mut block = Block::default();
        (1..).zip(text.lines()).find_map(|(number, line)| Some(block.line(line, Source::line(number))?.0))
    }

    const BLOCK: &str = "\
ledger invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0
CPU: 1 UID: 0 PID: 7 Comm: ledger Not tainted
memory: usage 61440kB, limit 61440kB, failcnt 114
Memory cgroup stats for /shop/ledger:
Tasks state (memory values in pages):
[  pid  ]   uid  tgid total_vm      rss rss_anon rss_file rss_shmem pgtables_bytes swapents oom_score_adj name
[      7]     0     7    17762      100       90       10         0   188416        0           -50 ledger
[      9]     0     9    17762    15360    15296       64         0   188416        0             0 my worker
oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/shop,task_memcg=/shop/ledger,task=my worker,pid=9,uid=0
Memory cgroup out of memory: Killed process 9 (my worker) total-vm:71048kB, anon-rss:61184kB, file-rss:256kB, shmem-rss:0kB, UID:0 pgtables:184kB oom_score_adj:0
";

    #[test]
    fn a_whole_block() {
        let kill = read(BLOCK).unwrap();
        let killed = kill.killed.as_ref().unwrap();
        assert_eq!((killed.pid, &*killed.name, killed.resident), (9, "my worker", Some(61_440 * 1024)));
        assert_eq!(
            (kill.scope, kill.cgroup.as_deref(), kill.limit),
            (OomScope::Cgroup, Some("/shop"), Some(61_440 << 10))
        );
        assert_eq!((kill.invoked_by.as_deref(), kill.cut, kill.source), (Some("ledger"), false, Source::line(1)));
        let tasks: Vec<_> = kill.tasks.iter().map(|task| (&*task.name, task.resident, task.score)).collect();
        assert_eq!(tasks, [("ledger", Some(409_600), Some(-50)), ("my worker", Some(61_440 << 10), Some(0))]);
    }

    #[test]
    fn larger_pages_are_found_out() {
        let text = BLOCK.replace(" 15296 ", " 956 ").replace(" 15360 ", " 960 ");
        let kill = read(&text).unwrap();
        assert_eq!(kill.tasks[1].resident, Some(960 << 16));
    }

    #[test]
    fn the_last_line_alone_and_older_ones() {
        let kill = read("Out of memory: Killed process 15201 (python3) total-vm:23747464kB, anon-rss:23736960kB, file-rss:148kB, shmem-rss:0kB, UID:0 pgtables:46508kB oom_score_adj:0").unwrap();
        assert_eq!((kill.scope, kill.cut), (OomScope::Machine, true));
        assert_eq!(kill.killed.unwrap().resident, Some((23_736_960 + 148) * 1024));
        let kill = read("Killed process 4 (java) total-vm:1kB, anon-rss:2kB, file-rss:0kB").unwrap();
        assert_eq!(kill.killed.unwrap().name, "java");
        let kill = read("Killed process 4, UID 0, (java) total-vm:1kB").is_none();
        assert!(kill);
        for other in ["I Killed process 4 (a)", "Killed process x (a)", "Killed process 4", "", "[ 1 ]"] {
            assert!(read(other).is_none(), "{other}");
        }
    }
}
