"""What tests share that need real processes, disks and traces."""
