"""What preference recipes share: rated and compared answers, and the ways to make pairs of them."""
