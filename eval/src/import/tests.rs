//! Imports of real forms, item by item.
