//! Everything that is tested through the front doors. One binary, so that it is linked once.

mod architecture;
