// A provisioner of local volumes: a folder per claim, pinned to the node that the scheduler chose, as a local disk
// would be. It grows claims on paper (folders have no size) and removes what a released volume with policy Delete
// held. Polls, because a test's cluster has a handful of claims.
package main

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

const (
	provisionerName    = "logspine.dev/local"
	selectedNodeKey    = "volume.kubernetes.io/selected-node"
	pollPeriod         = 300 * time.Millisecond
	hostnameLabel      = "kubernetes.io/hostname"
	provisionedByLabel = "pv.kubernetes.io/provisioned-by"
)

type provisioner struct {
	client kubernetes.Interface
	root   string
	class  map[string]core.PersistentVolumeReclaimPolicy // by storage class of ours
	volume map[string]core.PersistentVolume              // by name
}

func provisionerCommand() *cobra.Command {
	return &cobra.Command{
		Use:  "provisioner DIRECTORY KUBECONFIG",
		Args: cobra.ExactArgs(2),
		RunE: func(command *cobra.Command, args []string) error {
			config, err := clientcmd.BuildConfigFromFlags("", args[1])
			if err != nil {
				return err
			}
			client, err := kubernetes.NewForConfig(config)
			if err != nil {
				return err
			}
			p := provisioner{client: client, root: args[0]}
			for {
				if err := p.pass(command.Context()); err != nil {
					klog.ErrorS(err, "pass failed, the next one tries again")
				}
				time.Sleep(pollPeriod)
			}
		},
	}
}

// pass looks at everything once: claims that wait, claims that want to grow, volumes that were let go.
func (p *provisioner) pass(ctx context.Context) error {
	if err := p.gather(ctx); err != nil {
		return err
	}
	claims, err := p.client.CoreV1().PersistentVolumeClaims("").List(ctx, meta.ListOptions{})
	if err != nil {
		return err
	}
	for i := range claims.Items {
		if err := p.serve(ctx, &claims.Items[i]); err != nil {
			return err
		}
	}
	for _, volume := range p.volume {
		if err := p.release(ctx, &volume); err != nil {
			return err
		}
	}
	return nil
}

func (p *provisioner) gather(ctx context.Context) error {
	classes, err := p.client.StorageV1().StorageClasses().List(ctx, meta.ListOptions{})
	if err != nil {
		return err
	}
	p.class = map[string]core.PersistentVolumeReclaimPolicy{}
	for _, class := range classes.Items {
		if class.Provisioner == provisionerName {
			p.class[class.Name] = *class.ReclaimPolicy // the API server sets a default
		}
	}
	volumes, err := p.client.CoreV1().PersistentVolumes().List(ctx, meta.ListOptions{})
	if err != nil {
		return err
	}
	p.volume = map[string]core.PersistentVolume{}
	for _, volume := range volumes.Items {
		if _, ours := p.class[volume.Spec.StorageClassName]; ours {
			p.volume[volume.Name] = volume
		}
	}
	return nil
}

func (p *provisioner) serve(ctx context.Context, claim *core.PersistentVolumeClaim) error {
	if claim.Spec.StorageClassName == nil || claim.DeletionTimestamp != nil {
		return nil
	}
	if _, ours := p.class[*claim.Spec.StorageClassName]; !ours {
		return nil
	}
	name := "pvc-" + string(claim.UID)
	volume, exists := p.volume[name]
	node := claim.Annotations[selectedNodeKey]
	wanted := claim.Spec.Resources.Requests[core.ResourceStorage]
	have := claim.Status.Capacity[core.ResourceStorage]
	switch {
	case claim.Status.Phase == core.ClaimPending && node != "" && !exists:
		return p.create(ctx, claim, name, node)
	case claim.Status.Phase == core.ClaimBound && exists && wanted.Cmp(have) > 0:
		return p.grow(ctx, claim, &volume)
	}
	return nil
}

func (p *provisioner) create(ctx context.Context, claim *core.PersistentVolumeClaim, name, node string) error {
	path := filepath.Join(p.root, node, name)
	if err := os.MkdirAll(path, 0o777); err != nil {
		return err
	}
	if err := os.Chmod(path, 0o777); err != nil { // the umask does not decide who may write
		return err
	}
	onNode := core.NodeSelectorRequirement{Key: hostnameLabel, Operator: core.NodeSelectorOpIn, Values: []string{node}}
	volume := &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{Name: name, Annotations: map[string]string{provisionedByLabel: provisionerName}},
		Spec: core.PersistentVolumeSpec{
			Capacity:                      claim.Spec.Resources.Requests,
			AccessModes:                   claim.Spec.AccessModes,
			StorageClassName:              *claim.Spec.StorageClassName,
			PersistentVolumeReclaimPolicy: p.class[*claim.Spec.StorageClassName],
			PersistentVolumeSource:        core.PersistentVolumeSource{Local: &core.LocalVolumeSource{Path: path}},
			ClaimRef: &core.ObjectReference{
				APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID,
			},
			NodeAffinity: &core.VolumeNodeAffinity{Required: &core.NodeSelector{NodeSelectorTerms: []core.NodeSelectorTerm{
				{MatchExpressions: []core.NodeSelectorRequirement{onNode}},
			}}},
		},
	}
	_, err := p.client.CoreV1().PersistentVolumes().Create(ctx, volume, meta.CreateOptions{})
	if errors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func (p *provisioner) grow(ctx context.Context, claim *core.PersistentVolumeClaim, volume *core.PersistentVolume) error {
	volume.Spec.Capacity = claim.Spec.Resources.Requests
	if _, err := p.client.CoreV1().PersistentVolumes().Update(ctx, volume, meta.UpdateOptions{}); err != nil {
		return err
	}
	claim.Status.Capacity = claim.Spec.Resources.Requests
	_, err := p.client.CoreV1().PersistentVolumeClaims(claim.Namespace).UpdateStatus(ctx, claim, meta.UpdateOptions{})
	return err
}

func (p *provisioner) release(ctx context.Context, volume *core.PersistentVolume) error {
	isDelete := volume.Spec.PersistentVolumeReclaimPolicy == core.PersistentVolumeReclaimDelete
	if volume.Status.Phase != core.VolumeReleased || !isDelete || volume.Spec.Local == nil {
		return nil
	}
	if err := os.RemoveAll(volume.Spec.Local.Path); err != nil {
		return err
	}
	err := p.client.CoreV1().PersistentVolumes().Delete(ctx, volume.Name, meta.DeleteOptions{})
	if errors.IsNotFound(err) {
		return nil
	}
	return err
}
