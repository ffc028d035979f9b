//! Histories and their checkers, and the simulated cluster for tests.
