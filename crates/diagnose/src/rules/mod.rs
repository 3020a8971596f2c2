//! The rules, one file each.

mod deadlock;
mod go;
pub(crate) mod hserr;
pub(crate) mod java;
mod lock_convoy;
pub(crate) mod native;

use necropsy_model::{Thread, Wait};

use crate::Rule;
use crate::wait_graph::joined_words;

/// All rules, in the order of the guide. To add a rule, add its file and its line.
pub static RULES: &[&Rule] = &[
    &native::null_pointer::RULE,
    &native::null_pointer_offset::RULE,
    &native::call_through_null::RULE,
    &native::call_through_bad_pointer::RULE,
    &native::non_canonical_pointer::RULE,
    &native::use_after_free::RULE,
    &native::stack_overflow::RULE,
    &native::write_to_read_only::RULE,
    &native::guard_page::RULE,
    &native::execute_of_data::RULE,
    &native::misaligned_access::RULE,
    &native::division_by_zero::RULE,
    &native::arithmetic_trap::RULE,
    &native::illegal_instruction::RULE,
    &native::compiler_trap::RULE,
    &native::bus_error_truncated_file::RULE,
    &native::return_to_bad_address::RULE,
    &native::wild_pointer::RULE,
    &native::unexplained_fault::RULE,
    &native::stack_smashing::RULE,
    &native::assertion_failed::RULE,
    &native::double_free::RULE,
    &native::heap_corruption::RULE,
    &native::uncaught_cpp_exception::RULE,
    &native::rust_panic::RULE,
    &native::go_panic_in_core::RULE,
    &native::abort_called::RULE,
    &deadlock::RULE,
    &native::lock_in_signal_handler::RULE,
    &native::lock_owner_gone::RULE,
    &native::holder_unknown::RULE,
    &lock_convoy::RULE,
    &native::go_locks::RULE,
    &native::signal_sent::RULE,
    &native::crash_in_signal_handler::RULE,
    &native::crash_at_exit::RULE,
    &native::busy_thread::RULE,
    &native::pool_starved::RULE,
    &native::same_call::RULE,
    &native::hang_core::RULE,
    &native::truncated_core::RULE,
    &native::oom_killed::RULE,
    &go::nil_dereference::RULE,
    &go::panic::RULE,
    &go::concurrent_map::RULE,
    &go::thread_exhaustion::RULE,
    &go::out_of_memory::RULE,
    &go::stack_overflow::RULE,
    &go::fatal_error::RULE,
    &go::all_asleep::RULE,
    &go::signal_in_c::RULE,
    &go::test_timeout::RULE,
    &go::data_race::RULE,
    &go::recursive_read_lock::RULE,
    &go::self_deadlock::RULE,
    &go::lock_cycle::RULE,
    &go::mutex_waiters::RULE,
    &go::proved_leak::RULE,
    &go::waits_forever::RULE,
    &go::stuck_producers::RULE,
    &go::stuck_consumers::RULE,
    &go::pool_exhausted::RULE,
    &go::leak::RULE,
    &go::same_downstream_call::RULE,
    &go::waitgroup_stuck::RULE,
    &go::retry_storm::RULE,
    &go::gc_pressure::RULE,
    &go::stopping_the_world::RULE,
    &go::spinning::RULE,
    &go::dump_cut::RULE,
    &go::fan_out::RULE,
    &go::background_only::RULE,
    &java::class_init::RULE,
    &java::pool_self_wait::RULE,
    &java::nested_monitor::RULE,
    &java::rw_upgrade::RULE,
    &java::finalizer::RULE,
    &java::pinned::RULE,
    &java::pool_exhausted::RULE,
    &java::same_call::RULE,
    &java::busy::RULE,
    &hserr::not_a_crash::REPORT,
    &hserr::not_a_crash::SENT,
    &hserr::not_a_crash::SAFEPOINT,
    &hserr::not_a_crash::JAVA_OOM,
    &hserr::not_a_crash::ASKED,
    &hserr::emulation::EMULATED,
    &hserr::emulation::SVE,
    &hserr::memory::THREADS,
    &hserr::memory::RLIMIT,
    &hserr::memory::MAPS,
    &hserr::memory::WINDOWS,
    &hserr::memory::ADDRESS_SPACE,
    &hserr::memory::AT_START,
    &hserr::memory::CGROUP,
    &hserr::memory::HOST,
    &hserr::memory::OTHER,
    &hserr::files::IN_PAGE,
    &hserr::files::ZIP,
    &hserr::files::PERF,
    &hserr::files::STORAGE,
    &hserr::files::MAPPED,
    &hserr::bit_flip::FLIP,
    &hserr::stack::RULE,
    &hserr::setup::BOOT,
    &hserr::setup::MIXED,
    &hserr::setup::COMPILER_LIBRARY,
    &hserr::agents::PROFILER,
    &hserr::agents::AGENT,
    &hserr::agents::DETACHED,
    &hserr::native::SHUTDOWN,
    &hserr::drivers::GPU,
    &hserr::drivers::INJECTED,
    &hserr::setup::LIBC,
    &hserr::setup::NOEXEC,
    &hserr::jni::HANDLE,
    &hserr::jni::RETURNED,
    &hserr::unsafe_memory::RULE,
    &hserr::native::JUMP,
    &hserr::native::TRAP,
    &hserr::native::DIVISION,
    &hserr::native::CRASH,
    &hserr::vm::COMPILER,
    &hserr::vm::GC,
    &hserr::vm::COMPILED,
    &hserr::vm::INTERNAL,
    &hserr::vm::VM,
    &hserr::vm::UNKNOWN,
    &hserr::setup::HANDLER,
    &hserr::bit_flip::CPU,
    &hserr::damaged::RULE,
];

/// A thread by its name, else by its number.
fn called(thread: &Thread<'_>) -> String {
    match thread.name() {
        Some(name) => format!("\"{name}\""),
        None => format!("thread {}", thread.id),
    }
}

/// The lock that is waited for, with its class.
fn lock(wait: &Wait<'_>) -> String {
    if let Some(words) = joined_words(wait) {
        return words;
    }
    match wait.lock.as_ref().map(|lock| (lock.id, lock.name.as_deref())) {
        Some((0, Some(name))) => format!("the initialisation of {name}"),
        Some((id, Some(name))) => format!("{name} {id:#x}"),
        Some((id, None)) => format!("{id:#x}"),
        None => "a lock".to_owned(),
    }
}

/// At most five names.
fn few(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let more = names.len().saturating_sub(SHOWN);
    let shown = names.get(..SHOWN).unwrap_or(names).join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::RULES;

    #[test]
    fn every_rule_has_a_unique_kebab_case_id_and_a_complete_page() {
        let ids: BTreeSet<_> = RULES.iter().map(|rule| rule.id).collect();
        assert_eq!(ids.len(), RULES.len());
        for rule in RULES {
            assert!(rule.id.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{}", rule.id);
            for heading in ["# What it means", "# Why it matters", "# How it can be wrong", "# What to do"] {
                let text = rule.doc.split(heading).nth(1).unwrap_or_default();
                assert!(
                    text.trim_start().lines().next().is_some_and(|line| !line.starts_with('#')),
                    "{}: {heading}",
                    rule.id
                );
            }
        }
    }
}
