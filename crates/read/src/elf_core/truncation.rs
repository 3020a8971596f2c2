//! Cores that are cut: what share is missing, of the whole and of each stack.

use necropsy_model::{Avma, Snapshot, Source, Warning};

use super::headers::Headers;

/// Threads named one by one. Ten thousand warnings would bury the report.
const MOST_NAMED: usize = 8;

/// Warns when the core is shorter than its headers say.
pub(super) fn warn(data: &[u8], headers: &Headers, snapshot: &mut Snapshot<'_>) {
    let have = data.len() as u64;
    let lost_headers = headers.declared.saturating_sub(headers.segments.len() as u64);
    if have >= headers.end && lost_headers == 0 {
        return;
    }
    let missing = headers.end.saturating_sub(have);
    let mut text = format!(
        "the core is cut: {} of {} bytes are missing ({})",
        missing,
        headers.end,
        percent(missing, headers.end)
    );
    if lost_headers > 0 {
        text = format!("{text}, and {lost_headers} of {} program headers, so that more may be", headers.declared);
    }
    let mut warnings = vec![Warning::new(text, Source::offset(have))];
    let mut losses = snapshot.threads.iter().filter_map(|thread| {
        let sp = thread.registers()?.sp()?;
        let (missing, total) = stack_loss(snapshot, sp)?;
        Some((thread, missing, total))
    });
    for (thread, missing, total) in losses.by_ref().take(MOST_NAMED) {
        let share = percent(missing, total);
        let text = format!("the dump is cut inside the stack of thread {}: {share} of it is missing", thread.id);
        warnings.push(Warning::new(text, thread.source));
    }
    let more = losses.count();
    if more > 0 {
        warnings.push(Warning::new(format!("the stacks of {more} more threads are cut"), Source::offset(have)));
    }
    snapshot.warnings.append(&mut warnings);
}

/// Bytes that are missing of the stack from `sp` up, and bytes that the dump meant to hold of it.
fn stack_loss(snapshot: &Snapshot<'_>, sp: u64) -> Option<(u64, u64)> {
    let region = snapshot.memory.region(Avma(sp))?;
    let depth = sp - region.start.0;
    let total = region.dumped.checked_sub(depth)?;
    let have = (region.bytes.len() as u64).saturating_sub(depth);
    let missing = total.checked_sub(have).filter(|&missing| missing > 0)?;
    Some((missing, total))
}

/// A share in whole per cent, never rounded to "nothing" or "everything".
fn percent(part: u64, whole: u64) -> String {
    let exact = u128::from(part) * 100 / u128::from(whole.max(1));
    match exact {
        0 if part > 0 => "less than 1 %".to_owned(),
        exact => format!("{exact} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_never_rounded_to_nothing() {
        assert_eq!(percent(1, 1000), "less than 1 %");
        assert_eq!(percent(999, 1000), "99 %");
        assert_eq!(percent(5, 5), "100 %");
        assert_eq!(percent(u64::MAX, 0), "1844674407370955161500 %");
    }
}
