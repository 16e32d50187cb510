// Command read decodes documents as kubeadm and the kubelet do, into their own types, and refuses what these do not name.
package main

import (
	"fmt"
	"os"
	"strings"

	kubelet "k8s.io/kubelet/config/v1beta1"
	kubeadm "k8s.io/kubernetes/cmd/kubeadm/app/apis/kubeadm/v1beta4"
	"sigs.k8s.io/yaml"
)

func into(kind string) any {
	switch kind {
	case "kubeadm.k8s.io/v1beta4/InitConfiguration":
		return &kubeadm.InitConfiguration{}
	case "kubeadm.k8s.io/v1beta4/ClusterConfiguration":
		return &kubeadm.ClusterConfiguration{}
	case "kubeadm.k8s.io/v1beta4/JoinConfiguration":
		return &kubeadm.JoinConfiguration{}
	case "kubelet.config.k8s.io/v1beta1/KubeletConfiguration":
		return &kubelet.KubeletConfiguration{}
	}
	return nil
}

func read(document string) error {
	var of struct{ APIVersion, Kind string }
	if err := yaml.Unmarshal([]byte(document), &of); err != nil {
		return err
	}
	found := into(of.APIVersion + "/" + of.Kind)
	if found == nil {
		return fmt.Errorf("%s/%s is no kind of theirs", of.APIVersion, of.Kind)
	}
	return yaml.UnmarshalStrict([]byte(document), found)
}

func main() {
	for _, path := range os.Args[1:] {
		text, err := os.ReadFile(path)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		for _, document := range strings.Split("\n"+string(text), "\n---\n") {
			// What stands before the first is a comment.
			if !strings.Contains(document, "kind:") {
				continue
			}
			if err := read(document); err != nil {
				fmt.Fprintf(os.Stderr, "%s: %v\n", path, err)
				os.Exit(1)
			}
		}
	}
}
