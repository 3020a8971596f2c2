//! The rules, one file each.

use crate::Rule;

/// All rules, in the order of the guide. To add a rule, add its file and its line.
pub static RULES: &[&Rule] = &[];
