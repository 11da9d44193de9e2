// Programs in another language than the components': `preview` shows a mesh of two hosts and a file on one of them,
// `up` puts a file on a host that is known. They run inside this process, which no language host has started; `pulumi`
// and the package's plugin are found on PATH, and everything else in the environment.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/pulumi/pulumi/sdk/v3/go/auto"
	"github.com/pulumi/pulumi/sdk/v3/go/auto/optpreview"
	"github.com/pulumi/pulumi/sdk/v3/go/auto/optup"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// What the SDK that is generated from the schema has for the component.
type host struct {
	pulumi.ResourceState

	Address   pulumi.StringOutput `pulumi:"address"`
	User      pulumi.StringOutput `pulumi:"user"`
	HostKey   pulumi.StringOutput `pulumi:"hostKey"`
	PublicKey pulumi.StringOutput `pulumi:"publicKey"`
	MachineID pulumi.StringOutput `pulumi:"machineId"`
	RAMMB     pulumi.IntOutput    `pulumi:"ramMb"`
}

type component struct{ pulumi.ResourceState }

func mesh(ctx *pulumi.Context) error {
	members := pulumi.Map{}
	for name, mesh := range map[string]string{"a": "10.9.0.1", "b": "10.9.0.2"} {
		made := &host{}
		err := ctx.RegisterRemoteComponentResource("fortress:index:Host", name, pulumi.Map{
			"address":     pulumi.String("192.0.2.1" + mesh[len(mesh)-1:]),
			"site":        pulumi.String("home"),
			"meshAddress": pulumi.String(mesh),
			"meshNetwork": pulumi.String("10.9.0.0/24"),
			"operators":   pulumi.ToStringArray([]string{"198.51.100.0/24"}),
			"meshPort":    pulumi.Int(51820),
		}, made)
		if err != nil {
			return err
		}
		members[name] = pulumi.Map{
			"name":        pulumi.String(name),
			"site":        pulumi.String("home"),
			"address":     made.Address,
			"port":        pulumi.Int(22),
			"user":        made.User,
			"hostKey":     made.HostKey,
			"machineId":   made.MachineID,
			"meshAddress": pulumi.String(mesh),
			"publicKey":   made.PublicKey,
			"ramMb":       made.RAMMB,
			"gone":        pulumi.Bool(false),
		}
	}
	made := &component{}
	err := ctx.RegisterRemoteComponentResource("fortress:index:WireGuardMesh", "mesh", pulumi.Map{
		"members": members,
		"hubs":    pulumi.ToStringArray([]string{"a"}),
		"flows": pulumi.Array{pulumi.Map{
			"source":      pulumi.String("b"),
			"destination": pulumi.String("a"),
			"port":        pulumi.Int(5432),
			"open":        pulumi.Bool(true),
		}},
		"mtu": pulumi.Int(1380),
	}, made)
	if err != nil {
		return err
	}
	return ctx.RegisterRemoteComponentResource("fortress:index:HostFile", "motd", pulumi.Map{
		"host":    members["a"],
		"path":    pulumi.String("/etc/motd"),
		"content": pulumi.String("Welcome\n"),
	}, &component{}, pulumi.DependsOn([]pulumi.Resource{made}), pulumi.Protect(true))
}

func file(ctx *pulumi.Context) error {
	return ctx.RegisterRemoteComponentResource("fortress:index:HostFile", "motd", pulumi.Map{
		"host": pulumi.Map{
			"name":        pulumi.String("a"),
			"site":        pulumi.String("home"),
			"address":     pulumi.String("192.0.2.11"),
			"port":        pulumi.Int(22),
			"user":        pulumi.String("debian"),
			"hostKey":     pulumi.String(os.Getenv("HOST_KEY")),
			"machineId":   pulumi.String("a.1"),
			"meshAddress": pulumi.String("10.9.0.1"),
			"publicKey":   pulumi.String(""),
			"ramMb":       pulumi.Int(512),
			"gone":        pulumi.Bool(false),
		},
		"path":    pulumi.String("/etc/motd"),
		"content": pulumi.String("Welcome\n"),
	}, &component{})
}

func run(ctx context.Context, command string) error {
	program := map[string]pulumi.RunFunc{"preview": mesh, "up": file}[command]
	stack, err := auto.UpsertStackInlineSource(ctx, "dev", "other", program)
	if err != nil {
		return err
	}
	if command == "up" {
		_, err = stack.Up(ctx, optup.ProgressStreams(os.Stdout))
	} else {
		_, err = stack.Preview(ctx, optpreview.ProgressStreams(os.Stdout), optpreview.Diff())
	}
	return err
}

func main() {
	if err := run(context.Background(), os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
