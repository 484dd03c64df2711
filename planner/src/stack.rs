//! Room for recursion over deep trees.

/// What must be left of the stack for a statement to be planned on it.
const NEEDED: usize = 8 << 20;
/// The stack that is made otherwise.
const SIZE: usize = 64 << 20;

/// Runs `f` where an expression as deep as the parser lets through cannot overflow the stack.
pub fn on_large_stack<T>(f: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(NEEDED, SIZE, f)
}
