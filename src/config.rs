//! The daemon's own settings: `evenkeel.toml`, `EVENKEEL_*`, flags.
