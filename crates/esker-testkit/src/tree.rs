//! Directory trees: whether two are the same, what one holds, and copying one.

mod copy;
mod diff;
mod inventory;

pub use copy::copy_tree;
pub use diff::{assert_same_tree, diff_trees};
pub use inventory::{NodeKind, TreeNode, inventory, tree_bytes};
