// A server of Go's x/crypto/ssh with pkg/sftp, as a test has it.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/exec"
	"strconv"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

func main() {
	keyText, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	key, err := ssh.ParsePrivateKey(keyText)
	if err != nil {
		log.Fatal(err)
	}
	config := &ssh.ServerConfig{
		PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) { return nil, nil },
	}
	config.AddHostKey(key)
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	for {
		socket, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go serve(socket, config)
	}
}

func serve(socket net.Conn, config *ssh.ServerConfig) {
	_, channels, requests, err := ssh.NewServerConn(socket, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for channel := range channels {
		switch channel.ChannelType() {
		case "session":
			go session(channel)
		case "direct-tcpip":
			go forward(channel)
		default:
			channel.Reject(ssh.UnknownChannelType, "")
		}
	}
}

func session(asked ssh.NewChannel) {
	channel, requests, err := asked.Accept()
	if err != nil {
		return
	}
	defer channel.Close()
	for request := range requests {
		switch request.Type {
		case "exec":
			var line struct{ Text string }
			ssh.Unmarshal(request.Payload, &line)
			request.Reply(true, nil)
			command := exec.Command("/bin/sh", "-c", line.Text)
			command.Stdout, command.Stderr = channel, channel.Stderr()
			input, _ := command.StdinPipe()
			go func() { io.Copy(input, channel); input.Close() }()
			var status struct{ Code uint32 }
			if err := command.Run(); err != nil {
				status.Code = 255
				if ended, ok := err.(*exec.ExitError); ok {
					status.Code = uint32(ended.ExitCode())
				}
			}
			channel.SendRequest("exit-status", false, ssh.Marshal(&status))
			return
		case "subsystem":
			request.Reply(true, nil)
			if server, err := sftp.NewServer(channel); err == nil {
				server.Serve()
			}
			return
		default:
			request.Reply(false, nil)
		}
	}
}

func forward(asked ssh.NewChannel) {
	var target struct {
		Host   string
		Port   uint32
		Origin string
		From   uint32
	}
	ssh.Unmarshal(asked.ExtraData(), &target)
	far, err := net.Dial("tcp", net.JoinHostPort(target.Host, strconv.Itoa(int(target.Port))))
	if err != nil {
		asked.Reject(ssh.ConnectionFailed, fmt.Sprint(err))
		return
	}
	channel, requests, err := asked.Accept()
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	go func() { io.Copy(channel, far); channel.Close() }()
	io.Copy(far, channel)
	far.Close()
}
