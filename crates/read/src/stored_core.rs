//! Cores that systemd-coredump keeps in `/var/lib/systemd/coredump`: `core.NAME.UID.BOOT.PID.TIME` with the ending of the compression, and
//! extended attributes `user.coredump.*` (`make_filename` and `fix_xattr` of systemd's `src/coredump/coredump-submit.c`). The file
//! itself is a core like any other.

use crate::noted::{Noted, date};

/// Attributes that say something, without `user.`.
pub const ATTRIBUTES: [&str; 6] = [
    "user.coredump.pid",
    "user.coredump.uid",
    "user.coredump.signal",
    "user.coredump.timestamp",
    "user.coredump.comm",
    "user.coredump.exe",
];

/// Endings of compressed cores.
const ENDINGS: [&str; 3] = [".zst", ".lz4", ".xz"];
/// Digits of a boot id.
const BOOT_ID: usize = 32;

/// What the name of a file says; `None` when it is no name that systemd-coredump gives.
pub fn from_name(name: &str) -> Option<Noted> {
    let name = ENDINGS.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name);
    let rest = name.strip_prefix("core.")?;
    // The name is escaped and holds no dot; the other parts are numbers.
    let mut parts = rest.rsplitn(5, '.');
    let (time, pid, boot, uid) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let name = unescape(parts.next()?)?;
    if boot.len() != BOOT_ID || !boot.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    Some(Noted {
        keeper: "systemd-coredump",
        pid: Some(pid.parse().ok()?),
        uid: Some(uid.parse().ok()?),
        time: date(time.parse().ok()?),
        name: Some(name),
        ..Noted::default()
    })
}

/// Adds an attribute of the file.
pub fn attribute(noted: &mut Noted, name: &str, value: &[u8]) {
    noted.keeper = "systemd-coredump";
    let Some(text) = std::str::from_utf8(value).ok().filter(|text| !text.is_empty()) else { return };
    match name {
        "user.coredump.pid" => noted.pid = text.parse().ok().or(noted.pid),
        "user.coredump.uid" => noted.uid = text.parse().ok().or(noted.uid),
        "user.coredump.signal" => noted.signal = text.parse().ok().or(noted.signal),
        "user.coredump.timestamp" => {
            // Microseconds, and seconds before systemd 229.
            let number = text.parse::<u64>().ok();
            let micros = number.map(|time| if time < 100_000_000_000 { time.saturating_mul(1_000_000) } else { time });
            noted.time = micros.and_then(date).or(noted.time.take());
        }
        "user.coredump.comm" => noted.name = Some(text.to_owned()),
        "user.coredump.exe" => noted.exe = Some(text.to_owned()),
        _ => {}
    }
}

/// Undoes `xescape`: `\x2e` is a dot.
fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if let [b'\\', b'x', high, low, behind @ ..] = rest {
            let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            bytes.push(digit(high)? << 4 | digit(low)?);
            rest = behind;
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn names_that_systemd_gives() {
        let noted = from_name(&format!("core.my\\x2eapp.1000.{BOOT}.4242.1795255200123456.zst")).unwrap();
        assert_eq!((noted.name.as_deref(), noted.uid, noted.pid), (Some("my.app"), Some(1000), Some(4242)));
        assert_eq!(noted.time.as_deref(), Some("2026-11-21 10:00:00 UTC"));
        assert!(from_name(&format!("core.app.0.{BOOT}.1.1795255200123456")).is_some());
        for other in ["core.4242", "core.zst", "core.app.0.1.2.3", "core..0.x.1.2", "", "core.a\\xzz.0.0.0.0"] {
            assert_eq!(from_name(other), None, "{other}");
        }
    }

    #[test]
    fn attributes_say_more() {
        let mut noted = Noted::default();
        for (name, value) in ATTRIBUTES.iter().zip(["7", "0", "11", "1795255200123456", "app", "/srv/app"]) {
            attribute(&mut noted, name, value.as_bytes());
        }
        assert_eq!((noted.pid, noted.signal, noted.exe.as_deref()), (Some(7), Some(11), Some("/srv/app")));
        assert_eq!((noted.time.as_deref(), noted.keeper), (Some("2026-11-21 10:00:00 UTC"), "systemd-coredump"));
        attribute(&mut noted, "user.coredump.pid", b"\xff");
        attribute(&mut noted, "user.coredump.signal", b"eleven");
        assert_eq!((noted.pid, noted.signal), (Some(7), Some(11)));
    }
}
