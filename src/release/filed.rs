//! The orders of targets as the config file in force has them, beside what releases have made of them.

use std::sync::{Arc, Mutex, PoisonError};

use crate::config::Orders;

/// Shared by whoever reads the file and whoever compares it with the releases.
#[derive(Debug, Clone, Default)]
pub struct Filed(Arc<Mutex<Orders>>);

impl Filed {
    pub fn new(orders: Orders) -> Self {
        Self(Arc::new(Mutex::new(orders)))
    }

    pub fn orders(&self) -> Orders {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The file that is in force says this.
    pub fn set(&self, orders: Orders) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = orders;
    }
}
