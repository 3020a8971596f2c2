//! What systemd-coredump noted in the name of a core's file and in its extended attributes.

use std::path::Path;

use necropsy_read::{Noted, stored_core};

/// Longest value of an attribute that is read; a path has at most 4096 bytes.
const LONGEST: usize = 4096;

/// What is noted of the file at a path; nothing when it was not systemd that kept it.
pub(super) fn noted(path: &Path) -> Option<Noted> {
    let name = path.file_name()?.to_string_lossy();
    let mut noted = stored_core::from_name(&name);
    for attribute in stored_core::ATTRIBUTES {
        let mut value = [0; LONGEST];
        let Ok(length) = rustix::fs::getxattr(path, attribute, &mut value) else { continue };
        let noted = noted.get_or_insert_with(Noted::default);
        stored_core::attribute(noted, attribute, value.get(..length).unwrap_or_default());
    }
    noted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_alone_is_enough_and_attributes_win() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("core.app.0.0123456789abcdef0123456789abcdef.7.1795255200000000");
        std::fs::write(&path, "x").unwrap();
        assert_eq!(noted(&path).and_then(|noted| noted.pid), Some(7));
        assert_eq!(noted(&folder.path().join("core.7")), None);
        let plain = folder.path().join("core");
        std::fs::write(&plain, "x").unwrap();
        // Not every file system keeps such attributes.
        if rustix::fs::setxattr(&plain, "user.coredump.exe", b"/srv/app", rustix::fs::XattrFlags::empty()).is_ok() {
            assert_eq!(noted(&plain).and_then(|noted| noted.exe).as_deref(), Some("/srv/app"));
        }
    }
}
