//! Raw frames, names and values to the frames and stacks of the model.

use necropsy_model::{
    Avma, BuildId, Frame, Gap, Location, Missing, Module, ModuleId, Snapshot, Stack, StackEnd, Symbol, Writer,
};

use crate::Options;
use crate::image::{Image, Images};
use crate::names::{self, Names};
use crate::space::AddressSpace;
use crate::unwind::{RawFrame, Walk};
use crate::values::{Depth, Values};

/// Gives every thread its stack. Arguments are read for the stopped thread, locals of every thread when asked for.
pub(crate) fn stacks<'data>(
    snapshot: &mut Snapshot<'data>,
    walks: &[Walk],
    names: &Names<'data>,
    space: &AddressSpace<'_, 'data>,
    options: &Options,
) {
    let values = Values::new(*space);
    let stopped = snapshot.stop.as_ref().and_then(|stop| stop.thread);
    for (thread, walk) in walks.iter().enumerate() {
        let depth = match (options.locals, stopped == Some(thread)) {
            (true, _) => Some(Depth::Locals),
            (false, true) => Some(Depth::Arguments),
            (false, false) => None,
        };
        let end = match snapshot.process.writer {
            Some(Writer::KernelLog) => StackEnd::Broken("the kernel logs no stack".to_owned()),
            _ => walk.end.clone(),
        };
        let mut stack = Stack { frames: Vec::new(), gap: None, end };
        for (index, raw) in walk.frames.iter().enumerate() {
            if let Some(gap) = walk.gap.filter(|gap| gap.after == index) {
                stack.gap = Some(Gap { after: stack.frames.len(), ..gap });
            }
            let mut variables = depth.map(|depth| values.variables(&walk.frames, index, depth)).unwrap_or_default();
            for (level, mut frame) in expand(raw, names, space, &snapshot.modules).into_iter().enumerate() {
                if stopped == Some(thread) {
                    show_line(&mut frame, space, &snapshot.modules, options);
                }
                if let Some(found) = variables.get_mut(level) {
                    frame.variables = std::mem::take(found);
                }
                stack.frames.extend(snapshot.add_frame(frame));
            }
        }
        snapshot.warnings.extend(walk.warnings.iter().cloned());
        let id = snapshot.add_stack(stack);
        if let Some(thread) = snapshot.threads.get_mut(thread) {
            thread.stack = id;
        }
    }
}

/// The frames at one raw frame: the inlined ones first, then the function that was called.
fn expand<'data>(
    raw: &RawFrame,
    names: &Names<'data>,
    space: &AddressSpace<'_, 'data>,
    modules: &[Module<'data>],
) -> Vec<Frame<'data>> {
    let lookup = raw.address.lookup();
    let mut frame = Frame::at(Some(raw.address), raw.trust);
    frame.kind = raw.kind;
    let Some((index, image)) = space.images.at(lookup) else {
        if let Some((id, module)) = module_at(modules, lookup) {
            frame.module = Some(id);
            frame.svma = module.bias.map(|bias| bias.to_svma(raw.address.address()));
            frame.symbol = Symbol::Missing(no_file(space.images, id));
        } else {
            frame.symbol = Symbol::Missing(why_unnamed(lookup, space));
        }
        return vec![frame];
    };
    frame.module = Some(image.module);
    frame.svma = Some(image.bias.to_svma(raw.address.address()));
    named(&frame, index, image, names, lookup, space)
}

/// The module that covers an address; the last to begin wins where modules interleave.
fn module_at<'a, 'data>(modules: &'a [Module<'data>], address: Avma) -> Option<(ModuleId, &'a Module<'data>)> {
    let mut all = modules.iter().enumerate().rev();
    let (index, module) = all.find(|(_, module)| module.covers(address))?;
    Some((ModuleId::new(index)?, module))
}

/// Why a module has no file.
fn no_file(images: &Images<'_>, module: ModuleId) -> Missing {
    match images.outcome(module) {
        Some(outcome) if !outcome.refused.is_empty() => Missing::WrongBuild,
        Some(_) => Missing::FileNotFound,
        None => Missing::Unsupported,
    }
}

fn named<'data>(
    frame: &Frame<'data>,
    index: usize,
    image: &Image<'data>,
    names: &Names<'data>,
    lookup: Avma,
    space: &AddressSpace<'_, 'data>,
) -> Vec<Frame<'data>> {
    let Some(found) = names.get(&(index, image.bias.to_svma(lookup))).filter(|found| !found.is_empty()) else {
        return vec![Frame { symbol: Symbol::Missing(Missing::NotCovered), ..frame.clone() }];
    };
    let expanded = found.iter().map(|name| Frame {
        function: name.function.clone(),
        location: name.location.clone(),
        inlined: name.inlined,
        optimized: name.optimized,
        symbol: match &name.symbol {
            Symbol::Missing(_) if image.elf.is_none() => Symbol::Missing(no_file(space.images, image.module)),
            symbol => symbol.clone(),
        },
        ..frame.clone()
    });
    expanded.collect()
}

/// Adds the text of the source line, where the file is at hand.
fn show_line<'data>(
    frame: &mut Frame<'data>,
    space: &AddressSpace<'_, 'data>,
    modules: &[Module<'data>],
    options: &Options,
) {
    let debug = frame.module.and_then(|module| space.images.of(module)?.debug.get());
    let (Some(debug), Some(location)) = (debug, frame.location.as_mut()) else { return };
    location.text = location.line.and_then(|line| names::line_text(&location.file, line, debug));
    let id = frame.module.and_then(|module| modules.get(module.index())?.build_id.as_ref());
    fetch_line(location, id, options);
}

/// Adds the text of the lines where bad values were born.
pub(crate) fn births(snapshot: &mut Snapshot<'_>, options: &Options) {
    let Some(stop) = snapshot.stop.as_mut() else { return };
    let trails = [stop.trail.as_deref_mut(), stop.original.as_mut().and_then(|original| original.trail.as_deref_mut())];
    for birth in trails.into_iter().flatten().flat_map(|trail| &mut trail.chains).map(|chain| &mut chain.birth) {
        let (path, Some(location)) = (birth.module.as_ref(), birth.location.as_mut()) else { continue };
        let module = path.and_then(|path| snapshot.modules.iter().find(|module| module.path == *path));
        fetch_line(location, module.and_then(|module| module.build_id.as_ref()), options);
    }
}

/// Adds the text of a line from the sources that a server keeps, when the user wants that.
fn fetch_line(location: &mut Location<'_>, id: Option<&BuildId>, options: &Options) {
    let client = options.client.as_deref().filter(|_| options.sources && location.text.is_none());
    if let (Some(client), Some(id), Some(line)) = (client, id, location.line) {
        location.text = names::line_of(&location.file, line, id, client);
    }
}

/// Why an address outside every image has no name.
fn why_unnamed(address: Avma, space: &AddressSpace<'_, '_>) -> Missing {
    match space.memory.region(address) {
        None => Missing::NotMapped,
        Some(region) if region.file.is_some() => Missing::FileNotFound,
        Some(_) => Missing::NoModule,
    }
}
