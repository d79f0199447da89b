//! Bindings of `pulka_core::journal`.
