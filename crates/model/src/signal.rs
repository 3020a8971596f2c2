//! Linux signals and their codes: `signal(7)`, `sigaction(2)`, `include/uapi/asm-generic/siginfo.h`.

use std::fmt;

/// A signal with its `si_code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal {
    /// Number on x86 and arm; the numbers of MIPS, SPARC and Alpha differ above 6.
    pub number: i32,
    /// `si_code`, where the dump holds a siginfo.
    pub code: Option<i32>,
}

/// A named `si_code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeName {
    /// Constant, such as `SEGV_MAPERR`.
    pub name: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

const NAMES: [&str; 32] = [
    "",
    "SIGHUP",
    "SIGINT",
    "SIGQUIT",
    "SIGILL",
    "SIGTRAP",
    "SIGABRT",
    "SIGBUS",
    "SIGFPE",
    "SIGKILL",
    "SIGUSR1",
    "SIGSEGV",
    "SIGUSR2",
    "SIGPIPE",
    "SIGALRM",
    "SIGTERM",
    "SIGSTKFLT",
    "SIGCHLD",
    "SIGCONT",
    "SIGSTOP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGXCPU",
    "SIGXFSZ",
    "SIGVTALRM",
    "SIGPROF",
    "SIGWINCH",
    "SIGIO",
    "SIGPWR",
    "SIGSYS",
];

impl Signal {
    /// `SIGILL`.
    pub const ILL: i32 = 4;
    /// `SIGTRAP`.
    pub const TRAP: i32 = 5;
    /// `SIGABRT`.
    pub const ABRT: i32 = 6;
    /// `SIGBUS`.
    pub const BUS: i32 = 7;
    /// `SIGFPE`.
    pub const FPE: i32 = 8;
    /// `SIGKILL`.
    pub const KILL: i32 = 9;
    /// `SIGSEGV`.
    pub const SEGV: i32 = 11;
    /// `SIGSYS`.
    pub const SYS: i32 = 31;

    /// The name, such as `SIGSEGV`; `None` for a number without one.
    pub fn name(self) -> Option<&'static str> {
        usize::try_from(self.number).ok().and_then(|number| NAMES.get(number)).copied().filter(|name| !name.is_empty())
    }

    /// The number of a signal by its name.
    pub fn number_of(name: &str) -> Option<i32> {
        NAMES.iter().position(|&other| !other.is_empty() && other == name).and_then(|number| i32::try_from(number).ok())
    }

    /// Somebody sent it with `kill`, `tgkill` or `sigqueue`; the hardware reported no fault.
    ///
    /// Codes at or below zero are sent ones. The siginfo's address field then holds the sender's pid and uid instead.
    pub fn is_sent(self) -> Option<bool> {
        self.code.map(|code| code <= 0)
    }

    /// The kernel raises it for what an instruction did.
    pub fn is_fault_signal(self) -> bool {
        matches!(self.number, Self::ILL | Self::TRAP | Self::BUS | Self::FPE | Self::SEGV)
    }

    /// The `si_code` by name.
    pub fn code_name(self) -> Option<CodeName> {
        let code = self.code?;
        let (name, meaning) = match (self.number, code) {
            (_, 0) => ("SI_USER", "sent by kill"),
            (_, -1) => ("SI_QUEUE", "sent by sigqueue"),
            (_, -2) => ("SI_TIMER", "a timer expired"),
            (_, -6) => ("SI_TKILL", "sent by tgkill, as raise and abort do"),
            (_, 128) => ("SI_KERNEL", "raised by the kernel, without an address"),
            (Self::SEGV, 1) => ("SEGV_MAPERR", "address not mapped"),
            (Self::SEGV, 2) => ("SEGV_ACCERR", "mapping does not permit the access"),
            (Self::SEGV, 3) => ("SEGV_BNDERR", "bounds check failed"),
            (Self::SEGV, 4) => ("SEGV_PKUERR", "memory protection key denied the access"),
            (Self::SEGV, 8) => ("SEGV_MTEAERR", "asynchronous memory tag mismatch"),
            (Self::SEGV, 9) => ("SEGV_MTESERR", "memory tag mismatch"),
            (Self::SEGV, 10) => ("SEGV_CPERR", "shadow stack mismatch"),
            (Self::BUS, 1) => ("BUS_ADRALN", "misaligned address"),
            (Self::BUS, 2) => ("BUS_ADRERR", "no memory behind the mapping"),
            (Self::BUS, 3) => ("BUS_OBJERR", "hardware error of the object"),
            (Self::BUS, 4) => ("BUS_MCEERR_AR", "memory failure, action required"),
            (Self::BUS, 5) => ("BUS_MCEERR_AO", "memory failure, action optional"),
            (Self::FPE, 1) => ("FPE_INTDIV", "integer division by zero"),
            (Self::FPE, 2) => ("FPE_INTOVF", "integer overflow"),
            (Self::FPE, 3) => ("FPE_FLTDIV", "floating-point division by zero"),
            (Self::FPE, 4) => ("FPE_FLTOVF", "floating-point overflow"),
            (Self::FPE, 5) => ("FPE_FLTUND", "floating-point underflow"),
            (Self::FPE, 6) => ("FPE_FLTRES", "inexact floating-point result"),
            (Self::FPE, 7) => ("FPE_FLTINV", "invalid floating-point operation"),
            (Self::ILL, 1) => ("ILL_ILLOPC", "illegal opcode"),
            (Self::ILL, 2) => ("ILL_ILLOPN", "illegal operand"),
            (Self::ILL, 5) => ("ILL_PRVOPC", "privileged opcode"),
            (Self::ILL, 8) => ("ILL_BADSTK", "internal stack error"),
            (Self::TRAP, 1) => ("TRAP_BRKPT", "breakpoint"),
            (Self::TRAP, 2) => ("TRAP_TRACE", "trace trap"),
            (Self::SYS, 1) => ("SYS_SECCOMP", "seccomp denied a system call"),
            _ => return None,
        };
        Some(CodeName { name, meaning })
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "signal {}", self.number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        assert_eq!(Signal { number: 11, code: Some(1) }.name(), Some("SIGSEGV"));
        assert_eq!(Signal::number_of("SIGSEGV"), Some(11));
        assert_eq!(Signal { number: 64, code: None }.to_string(), "signal 64");
        assert_eq!(Signal { number: -1, code: None }.name(), None);
        assert_eq!(Signal { number: 6, code: Some(-6) }.is_sent(), Some(true));
    }
}
