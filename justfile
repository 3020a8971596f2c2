# Every task of the project. Each recipe is a plain command: it also works without just.

# List the tasks
default:
    @just --list

# Format, lints, docs and all tests: what CI runs
check:
    bash .ci/run

# All tests
test:
    cargo test --workspace

# Rewrite the expected outputs of the fixtures; read the diff as a user would before committing it
bless:
    NECROPSY_BLESS=1 cargo test -p necropsy --test fixtures

# Rebuild the fixtures' dumps from source: all, or those named; needs the toolchains that fixtures/README.md lists
lab *CASES:
    sh fixtures/lab.sh {{CASES}}

# Damage every fixture for so many seconds and run all stages over it; NECROPSY_FUZZ_SEED begins elsewhere
damage SECONDS="60":
    NECROPSY_FUZZ_SECONDS={{SECONDS}} cargo test --release -p necropsy --test hostile -- --nocapture damage

# Fuzz one target, or all, for so many seconds each; without a target they are listed. On stable; NECROPSY_CORPUS adds seeds
fuzz *ARGS:
    bash fuzz/run.sh {{ARGS}}

# How many runs every fuzz target had so far on this machine
fuzz-count:
    @awk '{ runs[$1] += $2; all += $2 } END { for (name in runs) print runs[name], name; print all, "in all" }' target/fuzz-runs/counts.tsv | sort -n

# How often the symptom is right and every deadlock found, over all formats: the fixtures, and the corpus that NECROPSY_CORPUS names
score:
    cargo test -p necropsy --test score -- --nocapture --test-threads 1

# How often the origin is right: builds the seed programs (gcc, clang, rustc; minutes the first time) and scores every core
score-origin:
    cargo test --release -p necropsy --test score_origin -- --ignored --nocapture score_origin

# How often the verdict about a JVM's fatal error log is right; needs the corpus
score-hserr:
    cargo test -p necropsy --test score_hserr -- --nocapture

# Goroutine dumps of the corpus that NECROPSY_CORPUS names: goroutines and groups found, warnings, the class of bug
score-go:
    cargo test -p necropsy --test goroutines -- --nocapture --test-threads 1

# Static release binaries for x86-64 and aarch64 (musl) in dist/, or for the targets named; the same bytes wherever it is built
dist *TARGETS:
    sh packaging/dist.sh {{TARGETS}}

# A Debian package of the binary in dist/ (amd64, or arm64): binary, manual, completions, documentation
deb ARCH="amd64":
    sh packaging/deb.sh {{ARCH}}

# Licences, advisories, duplicate versions (cargo-deny), and the list of what is linked in (dist/sbom.cdx.json)
supply-chain:
    sh packaging/supply-chain.sh

# Triage a dump with a release build
run *ARGS:
    cargo run --release -q -- {{ARGS}}

# Measure against gdb, eu-stack and others in one run; needs the corpus
bench *ARGS:
    bash benches/cores.sh {{ARGS}}

# Measure goroutine dumps against the pipeline of the shell, wc -l and panicparse; needs the corpus, and Go once
bench-goroutines *ARGS:
    bash benches/goroutines.sh {{ARGS}}

# Ten thousand dumps made from our fixtures put into buckets, against pipelines of the shell
bench-group *ARGS:
    bash benches/group.sh {{ARGS}}

# Measure names of addresses against eu-addr2line, addr2line and llvm-symbolizer on a large debug file
bench-symbols *ARGS:
    bash benches/symbols.sh {{ARGS}}

# Measure Java thread dumps and fatal error logs against the pipelines of the shell; needs the corpus
bench-java *ARGS:
    bash benches/java.sh {{ARGS}}

# Peak memory against the size of the input, for every reader
bench-memory *ARGS:
    bash benches/memory.sh {{ARGS}}

# API documentation of all crates
doc:
    cargo doc --workspace --no-deps
