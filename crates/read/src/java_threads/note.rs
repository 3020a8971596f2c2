//! Lines below a frame that begin with `- `: what the thread holds and waits for. `javaVFrame::print_lock_info_on` of
//! HotSpot's `runtime/vframe.cpp` writes them.

/// What a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Note<'a> {
    /// It holds a monitor.
    Locked(Object<'a>),
    /// It wants a monitor.
    WaitsToLock(Object<'a>),
    /// It is in `Object.wait` and does not hold the monitor meanwhile.
    WaitsOn(Object<'a>),
    /// It is parked.
    Parks(Object<'a>),
    /// It waits until another thread has initialised a class.
    ClassInit(&'a [u8]),
    /// It holds an ownable synchronizer: the line has an object and no verb.
    Owns(Object<'a>),
    /// Anything else that begins like this: `None`, `eliminated`, `locked` on an object that is not printed.
    Other,
}

/// An object by its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Object<'a> {
    pub id: u64,
    pub class: &'a [u8],
}

/// Makes a note of the object behind a verb.
type Make<'a> = fn(Object<'a>) -> Note<'a>;

/// Reads the text behind `- `. The second value is what follows on the same line.
///
/// JDK 11 to 25 print no line end after `- eliminated <owner is scalar replaced> (a Box)`, so that the next frame stands on
/// that line.
pub(super) fn parse<'a>(text: &'a [u8]) -> (Note<'a>, Option<&'a [u8]>) {
    let more = text.strip_prefix(b"eliminated ").and_then(|rest| {
        let at = memchr::memmem::find(rest, b")\tat ").map(|at| at + 2).or_else(|| {
            memchr::memmem::find(rest, b"at ")
                .filter(|&at| at > 0 && rest.get(at - 1).is_some_and(u8::is_ascii_whitespace))
        })?;
        rest.get(at..)
    });
    if text.starts_with(b"eliminated ") {
        return (Note::Other, more);
    }
    let class_init = text.strip_prefix(b"waiting on the Class initialization monitor for ");
    if let Some(class) = class_init {
        return (Note::ClassInit(class.trim_ascii()), None);
    }
    let verbs: [(&[u8], Make<'a>); 6] = [
        (b"locked ", Note::Locked),
        (b"waiting to lock ", Note::WaitsToLock),
        (b"waiting to re-lock in wait() ", Note::WaitsToLock),
        (b"waiting on ", Note::WaitsOn),
        (b"parking to wait for ", Note::Parks),
        (b"", Note::Owns),
    ];
    for (verb, note) in verbs {
        let found = text.strip_prefix(verb).and_then(|rest| object(rest.trim_ascii_start()));
        if let Some(object) = found {
            return (note(object), None);
        }
    }
    (Note::Other, None)
}

/// `<0x00..> (a Class)`, or `<0x00..> (a java.lang.Class for Class)`.
fn object(text: &[u8]) -> Option<Object<'_>> {
    let rest = text.strip_prefix(b"<0x")?;
    let end = memchr::memchr(b'>', rest)?;
    let id = u64::from_str_radix(std::str::from_utf8(rest.get(..end)?).ok()?, 16).ok()?;
    Some(Object { id, class: class(rest.get(end + 1..)?) })
}

/// The class in `(a Class)`.
pub(super) fn class(text: &[u8]) -> &[u8] {
    // `jhsdb` prints a comma behind the address of a synchronizer.
    let text = text.trim_ascii();
    let text = text.strip_prefix(b",").unwrap_or(text).trim_ascii_start();
    let inside = text.strip_prefix(b"(").unwrap_or(text);
    let inside = inside.strip_suffix(b")").unwrap_or(inside);
    inside.strip_prefix(b"a ").or_else(|| inside.strip_prefix(b"an ")).unwrap_or(inside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_of_hotspot() {
        let lock = Object { id: 0x10, class: b"shop.Cart" };
        for (text, note) in [
            ("locked <0x0010> (a shop.Cart)", Note::Locked(lock)),
            ("waiting to lock <0x0010> (a shop.Cart)", Note::WaitsToLock(lock)),
            ("waiting to re-lock in wait() <0x0010> (a shop.Cart)", Note::WaitsToLock(lock)),
            ("waiting on <0x0010> (a shop.Cart)", Note::WaitsOn(lock)),
            ("parking to wait for  <0x0010> (a shop.Cart)", Note::Parks(lock)),
            ("<0x0010> (a shop.Cart)", Note::Owns(lock)),
            ("<0x0010>, (a shop.Cart)", Note::Owns(lock)),
            ("waiting on the Class initialization monitor for A", Note::ClassInit(b"A")),
            ("locked <0x1> (a java.lang.Class for A)", Note::Locked(Object { id: 1, class: b"java.lang.Class for A" })),
            ("waiting on <no object reference available>", Note::Other),
            ("None", Note::Other),
            ("locked <0x00", Note::Other),
        ] {
            assert_eq!(parse(text.as_bytes()), (note, None), "{text}");
        }
    }

    #[test]
    fn the_frame_behind_an_eliminated_lock_is_kept() {
        let line = b"eliminated <owner is scalar replaced> (a Scen$Box)\tat Scen.elide(Scen.java:147)";
        assert_eq!(parse(line), (Note::Other, Some(&b"at Scen.elide(Scen.java:147)"[..])));
        assert_eq!(parse(b"eliminated <0x10> (a Box)"), (Note::Other, None));
    }
}
