//! SHELL. One file per command: prints, asks, draws progress; decides nothing.
