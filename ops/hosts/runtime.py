"""What containerd reads, whole: of the defaults the driver of cgroups alone is another, and on GPUs the runtime.

Sources: github.com/containerd/containerd, docs/cri/config.md (version 3); docs.nvidia.com, "Configuring containerd".
"""

PLAIN = """\
version = 3

[plugins.'io.containerd.cri.v1.runtime'.containerd]
default_runtime_name = 'runc'

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = 'io.containerd.runc.v2'

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
SystemdCgroup = true
"""
# Every container is started by NVIDIA's runtime, which leaves alone those that ask for no GPU.
NVIDIA = """\
version = 3

[plugins.'io.containerd.cri.v1.runtime'.containerd]
default_runtime_name = 'nvidia'

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.nvidia]
runtime_type = 'io.containerd.runc.v2'

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.nvidia.options]
BinaryName = '/usr/bin/nvidia-container-runtime'
SystemdCgroup = true
"""
