//! Native and Java frames of the thread that reported, as one stack.
//!
//! The walk of native frames goes by frame pointers and gives up at the first code without them; since JDK 9 it also goes
//! through Java frames. `Java frames:` is made by the VM's own walk and is whole. So the native list comes first, and the
//! Java list goes on where the native one stopped.

use necropsy_model::hs_err::{FrameList, HsFrame, HsFrameKind};

/// The one stack, the lists it was made of, and how many of its frames the native list gave.
pub(super) fn merge<'d>(native: Vec<HsFrame<'d>>, java: Vec<HsFrame<'d>>) -> (Vec<HsFrame<'d>>, FrameList, usize) {
    let list = match (native.is_empty(), java.is_empty()) {
        (true, true) => FrameList::None,
        (false, true) => FrameList::Native,
        (true, false) => FrameList::Java,
        (false, false) => FrameList::Both,
    };
    let rest = continuation(&native, &java);
    let mut frames = native;
    if rest < java.len() {
        // Where the walk lost its way it leaves bare addresses behind the last frame it knew.
        while frames.len() > 1 && frames.last().is_some_and(is_bare) {
            frames.pop();
        }
    }
    let count = frames.len();
    frames.extend(java.into_iter().skip(rest));
    (frames, list, count)
}

fn is_bare(frame: &HsFrame<'_>) -> bool {
    frame.library.is_none() && frame.function.is_none() && frame.method.is_none() && frame.kind != HsFrameKind::Stub
}

/// Index in `java` of the first frame that the native list does not have.
fn continuation(native: &[HsFrame<'_>], java: &[HsFrame<'_>]) -> usize {
    let of_native: Vec<&HsFrame<'_>> = native.iter().filter(|frame| frame.method.is_some()).collect();
    let Some(first) = of_native.first() else { return 0 };
    // The native list may begin above the first frame of the other: an intrinsic, a frame that was inlined.
    let methods: Vec<(usize, &HsFrame<'_>)> =
        java.iter().enumerate().filter(|(_, frame)| frame.method.is_some()).collect();
    let Some(start) = methods.iter().position(|(_, frame)| same(frame, first)) else {
        // Nothing in common: the native walk strayed, or it shows what the other does not know.
        let last = of_native.last();
        let at = last.and_then(|last| methods.iter().position(|(_, frame)| same(frame, last)));
        return at
            .and_then(|at| methods.get(at))
            .map_or(if of_native.is_empty() { 0 } else { java.len() }, |(index, _)| index + 1);
    };
    let common =
        methods.iter().skip(start).zip(&of_native).take_while(|((_, frame), other)| same(frame, other)).count();
    let next = methods.get(start + common).map(|(index, _)| *index);
    // Frames of the VM between two of Java belong to the part that is there.
    if common < of_native.len() { java.len() } else { next.unwrap_or(java.len()) }
}

fn same(one: &HsFrame<'_>, other: &HsFrame<'_>) -> bool {
    one.method == other.method && (one.bci.is_none() || other.bci.is_none() || one.bci == other.bci)
}

#[cfg(test)]
mod tests {
    use necropsy_model::Source;

    use super::super::frame;
    use super::super::words::Line;
    use super::*;

    fn list(lines: &[&'static str]) -> Vec<HsFrame<'static>> {
        lines.iter().map(|&text| frame::parse(Line { text, source: Source::line(1) }).unwrap()).collect()
    }

    fn merged(native: &[&'static str], java: &[&'static str]) -> Vec<String> {
        merge(list(native), list(java)).0.into_iter().map(|frame| frame.text.into_owned()).collect()
    }

    #[test]
    fn the_java_list_goes_on_where_the_native_one_stopped() {
        assert_eq!(
            merged(&["C  [a+0x1]", "j  A.f()V+0"], &["j  A.f()V+0", "j  A.g()V+1"]),
            ["C  [a+0x1]", "j  A.f()V+0", "j  A.g()V+1"]
        );
        assert_eq!(merged(&["C  [a+0x1]"], &["j  A.f()V+0"]), ["C  [a+0x1]", "j  A.f()V+0"]);
        assert_eq!(
            merged(
                &["C  [a+0x1]", "J 1  A.f()V (1 bytes) @ 0x2 [0x1+0x1]", "C  0x0010"],
                &["J 1  A.f()V (1 bytes) @ 0x3 [0x1+0x2]", "j  A.g()V+1"]
            ),
            ["C  [a+0x1]", "J 1  A.f()V (1 bytes) @ 0x2 [0x1+0x1]", "j  A.g()V+1"]
        );
    }

    #[test]
    fn a_whole_native_list_is_left_alone() {
        let native = ["j  A.f()V+0", "V  [libjvm.so+0x1]  call+0x1", "j  A.g()V+1", "C  [libjli.so+0x1]  main+0x2"];
        assert_eq!(
            merged(
                &native,
                &["j  A.f()V+0", "v  ~StubRoutines::call_stub", "j  A.g()V+1", "v  ~StubRoutines::call_stub"]
            ),
            native
        );
    }
}
