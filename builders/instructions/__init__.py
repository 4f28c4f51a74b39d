"""What instruction recipes share: tasks as text, their filters, a pool that grows."""
