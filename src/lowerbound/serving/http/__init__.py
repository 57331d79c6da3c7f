"""HTTP shared by the service and the explorer: hosting, access, headers, limits on bodies, validation, errors."""
