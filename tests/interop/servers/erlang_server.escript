#!/usr/bin/env escript
%% A server of Erlang/OTP, as a test has it. Arguments: folder of the host key,
%% folder of authorized_keys, port.
main([System, User, Port]) ->
    {ok, _} = application:ensure_all_started(ssh),
    Run = fun(Command) -> {ok, os:cmd(Command)} end,
    {ok, _} = ssh:daemon({127, 0, 0, 1}, list_to_integer(Port), [
        {system_dir, System},
        {user_dir, User},
        {auth_methods, "publickey"},
        {exec, {direct, Run}},
        {tcpip_tunnel_in, true},
        {subsystems, [ssh_sftpd:subsystem_spec([])]}
    ]),
    receive stop -> ok end.
