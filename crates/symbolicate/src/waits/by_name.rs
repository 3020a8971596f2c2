//! Functions that wait, by name: what kind of thing a futex word belongs to.

use necropsy_model::WaitKind;

/// Functions of the C libraries, without their leading underscores.
const C: &[(&str, WaitKind)] = &[
    ("pthread_mutex_lock", WaitKind::Lock),
    ("pthread_mutex_timedlock", WaitKind::Lock),
    ("pthread_mutex_clocklock", WaitKind::Lock),
    ("pthread_mutex_cond_lock", WaitKind::Lock),
    ("lll_lock_wait", WaitKind::Lock),
    ("lll_lock_wait_private", WaitKind::Lock),
    ("mtx_lock", WaitKind::Lock),
    ("flockfile", WaitKind::Lock),
    ("lockfile", WaitKind::Lock),
    ("pthread_rwlock_rdlock", WaitKind::ReadLock),
    ("pthread_rwlock_timedrdlock", WaitKind::ReadLock),
    ("pthread_rwlock_clockrdlock", WaitKind::ReadLock),
    ("pthread_rwlock_wrlock", WaitKind::WriteLock),
    ("pthread_rwlock_timedwrlock", WaitKind::WriteLock),
    ("pthread_rwlock_clockwrlock", WaitKind::WriteLock),
    ("pthread_cond_wait", WaitKind::Condition),
    ("pthread_cond_timedwait", WaitKind::Condition),
    ("pthread_cond_clockwait", WaitKind::Condition),
    ("cnd_wait", WaitKind::Condition),
    ("sem_wait", WaitKind::Semaphore),
    ("sem_timedwait", WaitKind::Semaphore),
    ("sem_clockwait", WaitKind::Semaphore),
    ("new_sem_wait_slow64", WaitKind::Semaphore),
    ("pthread_barrier_wait", WaitKind::Barrier),
    ("pthread_join", WaitKind::Join),
    ("pthread_timedjoin_np", WaitKind::Join),
    ("pthread_clockjoin_np", WaitKind::Join),
    ("pthread_clockjoin_ex", WaitKind::Join),
    ("thrd_join", WaitKind::Join),
    ("pthread_once_slow", WaitKind::ClassInit),
    ("pthread_once", WaitKind::ClassInit),
    // A static variable of a function, by the Itanium C++ ABI.
    ("cxa_guard_acquire", WaitKind::ClassInit),
];

/// Methods of Rust's standard library and of `parking_lot`: the type and the method. The modules around them were renamed
/// many times (`std::sys::unix::locks`, `std::sys::pal::unix::locks`, `std::sys::sync`).
const RUST: &[(&str, &str, WaitKind)] = &[
    ("Mutex::", "lock_contended", WaitKind::Lock),
    ("futex::Mutex::", "lock", WaitKind::Lock),
    ("futex_mutex::Mutex::", "lock", WaitKind::Lock),
    ("RwLock::", "read_contended", WaitKind::ReadLock),
    ("RwLock::", "write_contended", WaitKind::WriteLock),
    ("Condvar::", "wait_optional_timeout", WaitKind::Condition),
    ("RawMutex::", "lock_slow", WaitKind::Lock),
    ("RawRwLock::", "lock_shared_slow", WaitKind::ReadLock),
    ("RawRwLock::", "lock_exclusive_slow", WaitKind::WriteLock),
    ("condvar::Condvar::", "wait_until_internal", WaitKind::Condition),
];

/// Whose lock it is, which decides how it looks in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// Of a C library, or of what stands on it.
    C,
    /// Of Rust's standard library.
    Rust,
    /// Of the crate `parking_lot`.
    ParkingLot,
}

/// What a function waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waits {
    pub kind: WaitKind,
    pub family: Family,
}

/// What a function waits for; `None` when it is not one that waits.
pub(super) fn waits(function: &str) -> Option<Waits> {
    // `@GLIBC_2.2.5` of the linker, `.constprop.0` of the compiler.
    let name = function.split(['@', '.']).next().unwrap_or(function).trim_start_matches('_');
    if let Some(&(_, kind)) = C.iter().find(|(known, _)| *known == name) {
        return Some(Waits { kind, family: Family::C });
    }
    let rust = RUST.iter().find(|(owner, method, _)| {
        // The newer mangling writes methods as `<path::Type>::method`.
        function.rsplit_once(method).is_some_and(|(before, after)| {
            before.replace(">::", "::").ends_with(owner) && (after.is_empty() || after.starts_with("::h"))
        })
    });
    if let Some(&(owner, _, kind)) = rust {
        let parking_lot = owner.starts_with("Raw") || owner.starts_with("condvar::");
        return Some(Waits { kind, family: if parking_lot { Family::ParkingLot } else { Family::Rust } });
    }
    let parks = name == "std::thread::park" || name.starts_with("std::thread::park_timeout");
    parks.then_some(Waits { kind: WaitKind::Park, family: Family::Rust })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_that_wait_are_known_under_all_their_names() {
        let kind = |name| waits(name).map(|waits| waits.kind);
        assert_eq!(kind("___pthread_mutex_lock"), Some(WaitKind::Lock));
        assert_eq!(kind("pthread_cond_wait@@GLIBC_2.3.2"), Some(WaitKind::Condition));
        assert_eq!(kind("std::sys::sync::mutex::futex::Mutex::lock_contended"), Some(WaitKind::Lock));
        assert_eq!(kind("std::sys::pal::unix::locks::futex_rwlock::RwLock::read_contended"), Some(WaitKind::ReadLock));
        assert_eq!(kind("<std::sys::sync::mutex::futex::Mutex>::lock_contended"), Some(WaitKind::Lock));
        assert_eq!(kind("parking_lot::raw_mutex::RawMutex::lock_slow"), Some(WaitKind::Lock));
        assert_eq!(kind("pool::Mutex::lock_contended_by_test"), None);
        assert_eq!(kind("__cxa_guard_acquire"), Some(WaitKind::ClassInit));
        assert_eq!(kind("__new_sem_wait_slow64.constprop.0"), Some(WaitKind::Semaphore));
        assert_eq!(kind("main"), None);
    }
}
