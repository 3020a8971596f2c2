//! Groups that are told as one where there are many: the same way into the wait but for the depth of a recursion, or for
//! callers that part far out.

use std::collections::HashMap;

use necropsy_model::{Frame, FrameKind, Group, Snapshot};

/// Frames of one turn of a recursion that is recognised.
const PERIOD: usize = 4;

/// Groups of one story, biggest first.
#[derive(Debug)]
pub(super) struct Family<'a> {
    pub groups: Vec<&'a Group>,
    /// Frames, from the innermost outside of the runtime on, that all members share.
    pub shared: usize,
    /// They differ by the depth of a recursion only.
    pub recursion: bool,
}

impl<'a> Family<'a> {
    pub(super) fn single(group: &'a Group) -> Self {
        Self { groups: vec![group], shared: usize::MAX, recursion: false }
    }
}

/// The frames of a group without those of the runtime at the top, which say how it waits; the state says that better.
pub(super) fn way<'s, 'data>(group: &Group, snapshot: &'s Snapshot<'data>) -> Vec<&'s Frame<'data>> {
    let stack = group.stack.and_then(|id| snapshot.stack(id));
    let frames = || stack.iter().flat_map(|stack| &stack.frames).filter_map(|&id| snapshot.frame(id));
    let own = frames().position(|frame| frame.kind != FrameKind::Runtime).unwrap_or(0);
    frames().skip(own).collect()
}

/// Puts groups together that share a state, a creator and most of their way. Their order is that of their first groups.
pub(super) fn families<'a>(groups: &[&'a Group], snapshot: &Snapshot<'_>) -> Vec<Family<'a>> {
    let mut families: Vec<Family<'a>> = Vec::new();
    let mut alike: HashMap<_, Vec<(usize, Vec<&Frame<'_>>)>> = HashMap::new();
    for &group in groups {
        let way = way(group, snapshot);
        let state = group.state.and_then(|id| snapshot.state(id)).map(|state| (&*state.text, state.activity));
        let creator = group.created_by.and_then(|id| snapshot.frame(id)).and_then(|frame| frame.function.as_deref());
        let first = way.first().and_then(|frame| frame.function.as_deref());
        let known = alike.entry((state, creator, first)).or_default();
        // Groups without a name in them have nothing that could be shared.
        let found = known.iter().filter(|_| first.is_some()).find_map(|(at, other)| {
            let shared = shared(&way, other);
            // Two waits on different lines of one function are two waits.
            let recursion = shared > 0 && way.len() != other.len() && turns(&way) == turns(other);
            let long = shared >= 2 && shared * 2 >= way.len().max(other.len());
            (recursion || long).then_some((*at, shared, recursion))
        });
        if let Some((at, shared, recursion)) = found
            && let Some(family) = families.get_mut(at)
        {
            family.recursion = recursion && (family.recursion || family.groups.len() == 1);
            family.shared = family.shared.min(shared);
            family.groups.push(group);
        } else {
            known.push((families.len(), way));
            families.push(Family::single(group));
        }
    }
    families
}

/// Frames from the innermost on that are the same in both.
fn shared(one: &[&Frame<'_>], other: &[&Frame<'_>]) -> usize {
    let same = |(a, b): &(&&Frame<'_>, &&Frame<'_>)| a.function == b.function && a.location == b.location;
    one.iter().zip(other).take_while(same).count()
}

/// The functions of a way with each recursion told once.
fn turns<'a>(way: &[&'a Frame<'_>]) -> Vec<Option<&'a str>> {
    let mut out: Vec<Option<&str>> = Vec::with_capacity(way.len());
    for frame in way {
        out.push(frame.function.as_deref());
        for period in 1..=PERIOD {
            let Some((rest, last)) = out.len().checked_sub(period).and_then(|at| out.split_at_checked(at)) else {
                break;
            };
            if rest.ends_with(last) {
                out.truncate(rest.len());
                break;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use necropsy_model::{Location, Stack, State};

    use super::*;

    /// A group on these functions, each on a line of its own.
    fn group(snapshot: &mut Snapshot<'static>, state: &'static str, names: &[&'static str]) -> Group {
        let location = |name: &str| Location::new("main.go", Some(name.len() as u32));
        let frame = |name: &&'static str| Frame::printed(*name, Some(location(name)));
        let frames = names.iter().filter_map(|name| snapshot.add_frame(frame(name))).collect();
        Group {
            signature: String::new(),
            threads: vec![0],
            state: snapshot.intern_state(State { text: state.into(), activity: necropsy_model::Activity::Signal }),
            stack: snapshot.add_stack(Stack { frames, ..Stack::default() }),
            created_by: None,
            waited: None,
            background: false,
            title: None,
        }
    }

    #[test]
    fn depth_of_recursion_and_far_callers_make_no_new_story() {
        let mut all = Snapshot::default();
        let groups = [
            group(&mut all, "select", &["main.walk", "main.main"]),
            group(&mut all, "select", &["main.walk", "main.walk", "main.walk", "main.main"]),
            group(&mut all, "sleep", &["main.walk", "main.main"]),
            group(&mut all, "select", &["main.a", "main.b", "main.a", "main.b", "main.main"]),
            group(&mut all, "select", &["main.a", "main.b", "main.main"]),
            group(&mut all, "select", &["main.x", "main.get", "main.put", "main.one"]),
            group(&mut all, "select", &["main.x", "main.get", "main.put", "main.two"]),
            group(&mut all, "select", &["main.x", "main.other", "main.put", "main.one"]),
            group(&mut all, "select", &["main.x"]),
            group(&mut all, "select", &[]),
            group(&mut all, "select", &[]),
        ];
        let groups: Vec<_> = groups.iter().collect();
        let told: Vec<_> = families(&groups, &all)
            .iter()
            .map(|family| (family.groups.len(), family.shared.min(9), family.recursion))
            .collect();
        assert_eq!(
            told,
            [
                (2, 1, true),
                (1, 9, false),
                (2, 2, true),
                (2, 3, false),
                (1, 9, false),
                (1, 9, false),
                (1, 9, false),
                (1, 9, false)
            ]
        );
    }
}
