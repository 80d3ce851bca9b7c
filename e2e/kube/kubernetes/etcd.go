// One etcd member for one API server. It does not sync to disk: a test's cluster never outlives its machine.
package main

import (
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/embed"
)

func etcdCommand() *cobra.Command {
	return &cobra.Command{
		Use:  "etcd DIRECTORY URL",
		Args: cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error { return runEtcd(args[0], args[1]) },
	}
}

func runEtcd(directory, clientURL string) error {
	listen, err := url.Parse(clientURL)
	if err != nil {
		return err
	}
	config := embed.NewConfig()
	config.Dir = directory
	config.LogLevel = "warn"
	config.UnsafeNoFsync = true
	config.ListenClientUrls = []url.URL{*listen}
	config.AdvertiseClientUrls = []url.URL{*listen}
	config.AutoCompactionMode = "periodic"
	config.AutoCompactionRetention = "5m"
	server, err := embed.StartEtcd(config)
	if err != nil {
		return err
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, os.Interrupt)
	select {
	case <-stop:
		server.Close()
		return nil
	case err := <-server.Err():
		return err
	}
}
