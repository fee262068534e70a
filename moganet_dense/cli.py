"""Command line: ``python -m moganet_dense train|test|deploy|...`` and the scripts in tools/.

Exit codes: 0 done; 1 a mistake that the message says how to mend (for ``doctor``: training
cannot run); 2 wrong usage; 75 training was stopped by SIGTERM or Ctrl-C and saved, and the same
command with ``--resume`` goes on; 130 interrupted without saving (a second Ctrl-C).
"""

import argparse
import os
import sys
from collections.abc import Sequence

from .errors import Stopped, UserError

STOPPED = 75  # EX_TEMPFAIL of sysexits.h: try again later

TRACEBACK = 'MOGANET_TRACEBACK'
"""Environment variable that shows where an error came from."""


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog='moganet_dense', description='Dense prediction with MogaNet.'
    )
    commands = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')
    _add_train(commands)
    _add_test(commands)
    _add_deploy(commands)
    _add_flops(commands)
    _add_check(commands)
    doctor = commands.add_parser('doctor', help='print the environment as seen, and mends')
    doctor.set_defaults(run=_doctor)
    return parser


def _add_train(commands) -> None:
    parser = commands.add_parser('train', help='train a model of any task')
    _add_job(parser)
    parser.add_argument('--from-scratch', action='store_true', help='without published weights')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='auto|PATH',
        help='go on from the last checkpoint of the work dir, or from PATH',
    )
    parser.add_argument(
        '--skip-nonfinite',
        type=int,
        default=0,
        metavar='N',
        help='pass over up to N batches in a row whose loss is not finite; default: stop',
    )
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision')
    parser.add_argument(
        '--no-check', action='store_true', help='do not compare config and data first'
    )
    _add_layout(parser)
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help="scale the learning rate from the config's batch size to the real one",
    )
    _add_trust(parser)
    parser.set_defaults(run=_train)


def _add_test(commands) -> None:
    parser = commands.add_parser('test', help='evaluate a checkpoint of any task')
    _add_job(parser)
    parser.add_argument('checkpoint', help='path or URL; has to fit the model key by key')
    parser.add_argument('--out', metavar='FILE', help='.pkl: predictions; .json: metrics')
    parser.add_argument('--show-dir', metavar='DIR', help='draw the predictions into DIR')
    parser.add_argument(
        '--deploy', action='store_true', help='in the deploy form; CHECKPOINT may be in it'
    )
    parser.add_argument('--dtype', choices=['fp32', 'bf16', 'fp16'], default='fp32')
    _add_layout(parser)
    parser.add_argument('--compile', action='store_true', help='compile the backbone')
    _add_trust(parser)
    parser.set_defaults(run=_test)


def _add_layout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--channels-last', action='store_true', help='channels last in memory: faster'
    )


def _add_deploy(commands) -> None:
    parser = commands.add_parser('deploy', help='write the deploy form of a checkpoint')
    parser.add_argument('config', help='path of a config')
    parser.add_argument('checkpoint', help='path or URL; has to fit the model key by key')
    parser.add_argument('out', help='file to write, for `test --deploy`')
    _add_trust(parser)
    parser.set_defaults(run=_deploy)


def _add_flops(commands) -> None:
    parser = commands.add_parser('flops', help='count parameters and FLOPs of a model')
    parser.add_argument('config', help='path of a config')
    parser.add_argument(
        '--shape',
        nargs='+',
        type=int,
        metavar='SIDE',
        help='height and width of the image; default: what published tables of the task use',
    )
    parser.set_defaults(run=_flops)


def _add_check(commands) -> None:
    parser = commands.add_parser('check', help='look at all data of a config; 1: errors found')
    parser.add_argument('config', help='path of a config of detection, segmentation or pose')
    parser.add_argument('--json', metavar='FILE', help='write the report there, too')
    _add_changes(parser)
    parser.set_defaults(run=_check, work_dir=None, launcher='none')


def _add_job(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('config', help='path of a config; the task follows from it')
    parser.add_argument('--work-dir', metavar='DIR', help='default: work_dirs/NAME')
    _add_changes(parser)
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    # torch.distributed.launch passes it; the environment is what counts
    parser.add_argument('--local_rank', '--local-rank', type=int, help=argparse.SUPPRESS)


def _add_trust(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--trust-checkpoint', action='store_true', help='let code in checkpoint files run'
    )


def _add_changes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--mini', action='store_true', help='the small data set that ships')
    parser.add_argument(
        '--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help='override the config'
    )


def _job(args: argparse.Namespace):
    from .apis.run import Job

    return Job(
        config=args.config,
        work_dir=args.work_dir,
        cfg_options=args.cfg_options,
        launcher=args.launcher,
        mini=args.mini,
        from_scratch=getattr(args, 'from_scratch', False),
    )


def _train(args: argparse.Namespace) -> int:
    from .apis.run import train

    train(
        _job(args),
        resume=args.resume,
        skip_nonfinite=args.skip_nonfinite,
        amp=args.amp,
        auto_scale_lr=args.auto_scale_lr,
        channels_last=args.channels_last,
        check=not args.no_check,
    )
    return 0


def _test(args: argparse.Namespace) -> int:
    from .apis.deploy import Form
    from .apis.run import test

    form = Form(args.deploy, args.dtype, args.channels_last, args.compile)
    test(_job(args), args.checkpoint, out=args.out, show_dir=args.show_dir, form=form)
    return 0


def _deploy(args: argparse.Namespace) -> int:
    from .apis.deploy import deploy

    deploy(args.config, args.checkpoint, args.out)
    return 0


def _flops(args: argparse.Namespace) -> int:
    from .apis.flops import describe

    print(describe(args.config, args.shape))
    return 0


def _check(args: argparse.Namespace) -> int:
    from .apis.check import check

    return check(_job(args), args.json)


def _doctor(args: argparse.Namespace) -> int:
    from .apis.doctor import examine

    return examine()


def _run(args: argparse.Namespace) -> int:
    if not getattr(args, 'trust_checkpoint', False):
        return args.run(args)
    from .weights.loading import trusting

    with trusting():
        return args.run(args)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit code."""
    args = build_parser().parse_args(argv)
    if args.__dict__.get('local_rank') is not None:
        os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    try:
        return _run(args)
    except UserError as error:
        if os.environ.get(TRACEBACK):
            raise
        print(f'error: {error}', file=sys.stderr)
        return 1
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        return STOPPED
    except KeyboardInterrupt:
        print('interrupted; go on with --resume', file=sys.stderr)
        return 130
