//! Graphics drivers, and libraries that others pushed into the process.

use necropsy_model::{Confidence, Evidence, Finding, Role};

use crate::jvm::hs_err::Hs;
use crate::jvm::libraries::Library;
use crate::{Case, Rule};

pub(crate) static GPU: Rule = Rule {
    id: "jvm-graphics-driver",
    doc: "\
# What it means
The graphics driver crashed in a call from the program.
# Why it matters
Drivers check little: most such crashes come from the caller (no context on this thread, a buffer that is too short, not bound or
freed), fewer from the driver.
# How it can be wrong
The log does not hold the arguments, so that who is to blame stays open.
# What to do
Look at the Java frame that made the call: is a context current on this thread, is the buffer direct, long enough and still alive? If
so, update the driver.
",
    check: gpu,
};

pub(crate) static INJECTED: Rule = Rule {
    id: "jvm-injected-library",
    doc: "\
# What it means
The frame stands in a library that is no part of the program or the JDK: an overlay, a sound or screen tool, a virus scanner put it
into the process.
# Why it matters
Neither the program nor the virtual machine is to blame.
# How it can be wrong
It is told by the library's name alone.
# What to do
Remove or update that tool, or let it leave java.exe alone.
",
    check: injected,
};

/// The first frame of a kind, when only the C library and other parts of the system stand above it.
fn first(hs: &Hs<'_, '_>, wanted: Library) -> Option<usize> {
    let above = |kind| matches!(kind, Some(Library::Base | Library::System));
    let at = hs.frames().iter().position(|frame| !above(hs.library(frame)))?;
    hs.frames().get(at).filter(|frame| hs.library(frame) == Some(wanted)).map(|_| at)
}

fn gpu<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(hs) = Hs::of(case).filter(Hs::is_fault) else { return Vec::new() };
    let Some(at) = first(&hs, Library::Gpu) else { return Vec::new() };
    let Some(frame) = hs.frames().get(at) else { return Vec::new() };
    let call = hs.java_from(at);
    let own = hs.own_java().filter(|own| call.is_none_or(|call| own.0 >= call.0));
    let by = call.map(|(_, frame)| format!(", called by {}", hs.words(frame))).unwrap_or_default();
    let title = format!("the graphics driver {} {}{by}", frame.library.as_deref().unwrap_or("?"), hs.tried());
    let mut finding = hs.finding(&GPU, Confidence::Medium, title);
    finding.places.extend(hs.place(at, Role::Victim));
    for (at, frame) in call.into_iter().chain(own.filter(|own| Some(own.0) != call.map(|call| call.0))) {
        finding.places.extend(hs.place(at, Role::Origin));
        finding.evidence.push(Evidence::new(format!("called by {}", hs.words(frame)), frame.source));
    }
    finding.evidence.extend(hs.basics());
    vec![finding]
}

fn injected<'data>(case: &Case<'_, 'data>) -> Vec<Finding<'data>> {
    let Some(hs) = Hs::of(case).filter(Hs::is_fault) else { return Vec::new() };
    let Some(at) = first(&hs, Library::Injected) else { return Vec::new() };
    let Some(frame) = hs.frames().get(at) else { return Vec::new() };
    let library = frame.library.as_deref().unwrap_or("?");
    let title = format!("{library}, which another program put into this process, {}", hs.tried());
    let mut finding = hs.finding(&INJECTED, Confidence::Medium, title);
    finding.places.extend(hs.place(at, Role::Victim));
    finding.evidence = hs.basics();
    vec![finding]
}

#[cfg(test)]
mod tests {
    use super::super::samples::{SEGV, signal};
    use super::*;
    use crate::rules::native::samples::fired;

    #[test]
    fn fires() {
        assert!(fired(&GPU, &signal(SEGV, 0, &["C nvoglv64.DLL", "j org.lwjgl.opengl.GL11.nglDrawArrays 0"], |_| {})));
        assert!(fired(&INJECTED, &signal(SEGV, 0, &["C ntdll.dll", "C NahimicMSIOSD.dll"], |_| {})));
    }

    #[test]
    fn keeps_quiet() {
        let other = signal(SEGV, 0, &["C librefund.so apply", "C nvoglv64.DLL", "j a.B.c 0"], |_| {});
        assert!(!fired(&GPU, &other));
        assert!(!fired(&INJECTED, &other));
    }
}
