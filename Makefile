# `make run` and `make test` need nothing but this file: what the machine lacks is installed first (scripts/setup.sh).
# Further flags of the daemon: make run ARGS="--listen 127.0.0.1:9999"
.PHONY: run test prove mutants engines bench release deb image lint fmt-check clippy doc deny clean-example
.NOTPARALLEL:

export PATH := $(PATH):$(HOME)/.cargo/bin

run:
	@scripts/run.sh $(ARGS)

# On a machine where no engine may run, the tests of a real engine say that they were skipped, and the rest runs.
# Four at a time also on two cores: those of a real engine mostly wait for it.
test:
	@scripts/setup.sh --tools --tests
	@scripts/setup.sh --engine || test $$? = 3
	RUST_TEST_THREADS=$${RUST_TEST_THREADS:-4} cargo test --locked
	scripts/prove.sh prove -- --show-output
	@test "$(ENGINES)" != all || $(MAKE) engines

# The contract, the measured facts and the tests end to end, once more on later engines than the machine's. Also: make test ENGINES=all.
# An engine that cannot be had is a failure here, and nothing is skipped.
engines:
	@scripts/setup.sh --tools --tests
	cargo test --locked --no-run --test engine --test it
	@for version in 26.1 28.5; do scripts/on-engine.sh $$version scripts/test-engine.sh || exit; done

# Every scenario on the real engine with every policy, kind and offset; figures are printed as they come.
prove:
	@scripts/setup.sh --tools --tests
	@scripts/setup.sh --engine
	PROVE=full RUST_TEST_THREADS=$${RUST_TEST_THREADS:-4} cargo test --locked --test chaos -- --nocapture
	PROVE=full cargo test --locked --test it e2e_move_in::every -- --nocapture
	EXPLORE="$${EXPLORE:-1/1/1/1/1/1/0}" scripts/prove.sh prove -- --nocapture converge::a_
	EXPLORE="1/1/1/0/0/1/1 2/1/1/0/0/0/1" EXPLORE_ONLY="first, restart always" scripts/prove.sh prove -- --nocapture converge::a_
	EXPLORE=1/1/1/0/0/0/0 scripts/prove.sh prove -- --nocapture converge::three converge::two
	FUZZ_TIMES=$${FUZZ_TIMES:-20} PROVE_KILL_STRIDE=1 scripts/prove.sh prove -- --nocapture fuzz:: store::
	scripts/mutants.sh

# Faults put into the core on purpose, each of which a test must catch. Some of them: make mutants ONLY="03 17"
mutants:
	@scripts/setup.sh --tools
	scripts/mutants.sh $(ONLY)

# How fast it is, beside the engine's own share and docker compose, into docs/benchmarks.md. One section: make bench ONLY=replace
bench:
	@scripts/setup.sh --tools --tests
	@scripts/setup.sh --engine
	ONLY="$(ONLY)" cargo bench --locked --bench speed

# One static binary: it runs on any Linux of this architecture, whatever its C library.
release:
	@scripts/setup.sh --tools
	host=$$(rustc -vV | sed -n 's/^host: //p') && RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --target "$$host" && \
		mkdir -p target/static && cp "target/$$host/release/evenkeel" target/static/evenkeel

# A package for Debian and its kin, into target/debian.
deb: release
	@command -v cargo-deb >/dev/null || cargo install --locked cargo-deb@3.8.0
	mkdir -p target/static/completions
	for shell in bash zsh fish; do target/static/evenkeel completions $$shell > target/static/completions/evenkeel.$$shell || exit; done
	cargo deb --locked --no-build --no-strip --output target/debian/

# A container image, on the engine of this machine: make image IMAGE=registry.example/evenkeel:1
image: release
	scripts/image.sh $(IMAGE)

lint: fmt-check clippy doc deny

fmt-check:
	cargo fmt --check

# Those that `cargo test` leaves to scripts/prove.sh are not among "all" targets.
clippy:
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --test prove --test simulation -- -D warnings

# Broken links between the comments are errors.
doc:
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items --quiet

# Advisories need a database from the network on every run, so they are left to a scheduled job (`cargo deny check advisories`).
# Without optimisation: it is built in a third of the time and runs for a second.
deny:
	@command -v cargo-deny >/dev/null || cargo install --locked --debug cargo-deny@0.20.2
	@# What other platforms need is not built here, and is judged all the same.
	cargo fetch --locked --quiet
	cargo deny --locked --offline check licenses bans sources

# Removes what `make run` made, and nothing else.
clean-example:
	@scripts/clean-example.sh
