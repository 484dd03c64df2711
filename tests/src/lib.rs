//! What the tests need to reach a running server as its users do.
