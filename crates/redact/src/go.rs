//! What only a Go runtime says.

use necropsy_model::Text;
use necropsy_model::go::{GoAccess, GoFacts, GoLine, GoPanic, GoRace, GoRegisters, GoSignal};

use crate::Redactor;
use crate::table::table;

table!(GoFacts<'_> {
    form: keep, panics: inner, fatal: inner, remarks: inner, signal: inner, running_tests: tests, races: inner,
    waits: keep, stack_waits: keep, samples: keep, ancestors: keep, runtime_stack: keep, registers: inner, cut: keep,
    leak_profile: keep, repeated: keep,
});
table!(
    /// Lines of the runtime.
    GoLine<'_> { text: sentence, source: keep }
);
table!(GoPanic<'_> { value: words, recovered: keep, repanicked: keep, source: keep });
table!(GoSignal<'_> { name: keep, code: keep, address: keep, pc: keep, in_c: keep, source: keep });
table!(GoRace<'_> { accesses: inner, source: keep });
table!(GoAccess<'_> { what: keep, address: keep, goroutine: keep, thread: keep, source: keep });
table!(GoRegisters<'_> { goroutine: keep, values: keep, source: keep });

impl Redactor {
    /// Names of tests are names of functions; what follows the slash in a subtest is a text of the program.
    fn tests(&mut self, tests: &mut [(Text<'_>, Option<u32>)]) {
        for (name, _) in tests {
            if let Some((function, subtest)) = name.split_once('/') {
                let subtest = self.remembered(crate::placeholder::Kind::Text, subtest);
                *name = format!("{function}/{subtest}").into();
            }
        }
    }
}
